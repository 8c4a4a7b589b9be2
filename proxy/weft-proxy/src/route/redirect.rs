//! Where a redirect sends the client.

use std::net::SocketAddr;

use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::filters::changed_path;
use crate::discovery::Redirect;
use crate::error::{Code, Error};

/// The value of `Location`. `dst` is what the client dialled; `prefix` the length of the path's prefix that the route
/// matched.
pub fn location(
    redirect: &Redirect,
    head: &Parts,
    prefix: usize,
    dst: SocketAddr,
) -> Result<HeaderValue, Error> {
    let scheme = redirect.scheme.as_ref().or(head.uri.scheme()).unwrap_or(&Scheme::HTTP);
    let host = match &redirect.hostname {
        Some(hostname) => hostname.clone(),
        None => host(head, dst)?,
    };
    let port = redirect.port.unwrap_or_else(|| match &redirect.scheme {
        Some(scheme) => well_known(scheme).unwrap_or(dst.port()),
        None => dst.port(),
    });
    let port = if well_known(scheme) == Some(port) { String::new() } else { format!(":{port}") };
    let old = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let path = redirect.path.as_ref().map_or(Ok(old.clone()), |change| changed_path(change, &old, prefix))?;
    HeaderValue::try_from(format!("{scheme}://{host}{port}{path}")).map_err(impossible)
}

fn well_known(scheme: &Scheme) -> Option<u16> {
    match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The host that the client asked for, without port.
fn host(head: &Parts, dst: SocketAddr) -> Result<String, Error> {
    if let Some(authority) = head.uri.authority() {
        return Ok(authority.host().to_owned());
    }
    match head.headers.get(HOST).map(HeaderValue::as_bytes) {
        Some(host @ [_, ..]) => Ok(Authority::try_from(host).map_err(impossible)?.host().to_owned()),
        _ if dst.is_ipv6() => Ok(format!("[{}]", dst.ip())),
        _ => Ok(dst.ip().to_string()),
    }
}

fn impossible(error: impl std::fmt::Display) -> Error {
    Error::new(Code::Request, format!("no redirect for this target: {error}"))
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;
    use crate::discovery::PathChange;

    const AS_IT_IS: Redirect =
        Redirect { status: StatusCode::FOUND, scheme: None, hostname: None, port: None, path: None };

    fn located(redirect: &Redirect, host: &str, path: &str, dst: &str) -> String {
        let mut request = Request::get(path);
        if !host.is_empty() {
            request = request.header(HOST, host);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let value = location(redirect, &head, "/a".len(), dst.parse().unwrap()).unwrap();
        value.to_str().unwrap().to_owned()
    }

    /// What the redirect leaves out is the request's; its port is the one that was dialled; well-known ports go unsaid.
    #[test]
    fn what_is_left_out_stays() {
        let https = Redirect { scheme: Some(Scheme::HTTPS), ..AS_IT_IS };
        let other = Redirect { hostname: Some("other".into()), ..AS_IT_IS };
        let port = Redirect { port: Some(8443), ..https.clone() };
        let prefix = Redirect { path: Some(PathChange::Prefix("/b".into())), ..AS_IT_IS };
        let whole = Redirect { path: Some(PathChange::Whole("/c".into())), ..AS_IT_IS };
        for (redirect, host, dst, expected) in [
            (&AS_IT_IS, "shop", "10.0.0.1:80", "http://shop/a/x?y"),
            (&AS_IT_IS, "shop:1234", "10.0.0.1:8080", "http://shop:8080/a/x?y"),
            (&AS_IT_IS, "", "10.0.0.1:8080", "http://10.0.0.1:8080/a/x?y"),
            (&AS_IT_IS, "", "[fd00::1]:80", "http://[fd00::1]/a/x?y"),
            (&https, "shop", "10.0.0.1:80", "https://shop/a/x?y"),
            (&https, "shop:80", "10.0.0.1:8080", "https://shop/a/x?y"),
            (&port, "shop", "10.0.0.1:80", "https://shop:8443/a/x?y"),
            (&other, "shop", "10.0.0.1:80", "http://other/a/x?y"),
            (&prefix, "shop", "10.0.0.1:80", "http://shop/b/x?y"),
            (&whole, "shop", "10.0.0.1:80", "http://shop/c?y"),
        ] {
            assert_eq!(expected, located(redirect, host, "/a/x?y", dst));
        }
    }

    /// HTTP/2 has the host in its target.
    #[test]
    fn http2_names_its_host() {
        let head = Request::get("http://shop:81/").body(()).unwrap().into_parts().0;
        let dst = "10.0.0.1:80".parse().unwrap();
        assert_eq!("http://shop/", location(&AS_IT_IS, &head, 0, dst).unwrap());
    }
}
