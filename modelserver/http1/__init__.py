"""An HTTP/1.1 server: predictions take a short way, everything else Twisted Web's."""
