//! The proxy of a control-plane pod: no redirection, it ends mesh TLS on public ports and forwards to the loopback.
