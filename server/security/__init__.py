"""Who may talk to the server: the site's certificates, who was enrolled, and what each role may do."""
