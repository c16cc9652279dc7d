"""What can only be measured on a GPU: `run_all.sh`, and a module for each check."""
