"""The closed loop: when the site's network is adapted, how a run goes, and the processes it starts."""
