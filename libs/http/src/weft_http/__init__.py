"""HTTP/1.1 client and server in little memory."""
