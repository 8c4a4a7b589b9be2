//! Rules that send the TCP of a pod through its proxy.
