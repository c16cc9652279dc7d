"""Where frames come from: video files, RTSP cameras, webcams, picture folders and the simulated site."""
