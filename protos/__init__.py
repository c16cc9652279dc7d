"""The wire: `.proto` files of package `osprey.v1` and the code generated from them (`make protos`)."""
