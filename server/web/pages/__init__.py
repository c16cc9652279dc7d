"""One file per page, each with a function `routes(console)` that gives its router."""
