//! What routes change of requests and responses on their way.

use http::header::{HOST, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Uri};
use http::{Method, Version};

use crate::discovery::{Filter, HeaderChange, PathChange, Rewrite};
use crate::error::{Code, Error};

/// `prefix`: length of the path's prefix that the route matched.
pub fn change_request(filters: &[Filter], head: &mut Parts, prefix: usize) -> Result<(), Error> {
    for filter in filters {
        match filter {
            Filter::RequestHeaders(change) => change_headers(change, &mut head.headers),
            Filter::Rewrite(rewrite) => change_target(rewrite, head, prefix)?,
            Filter::ResponseHeaders(_) => {}
        }
    }
    Ok(())
}

pub fn change_response(filters: &[Filter], headers: &mut HeaderMap) {
    for filter in filters {
        if let Filter::ResponseHeaders(change) = filter {
            change_headers(change, headers);
        }
    }
}

fn change_headers(change: &HeaderChange, headers: &mut HeaderMap) {
    for (name, value) in &change.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &change.add {
        headers.append(name, value.clone());
    }
    for name in &change.remove {
        headers.remove(name);
    }
}

fn change_target(rewrite: &Rewrite, head: &mut Parts, prefix: usize) -> Result<(), Error> {
    if let Some(hostname) = &rewrite.hostname {
        change_host(hostname, head)?;
    }
    // CONNECT names a host only, and OPTIONS perhaps no resource.
    if let Some(change) = &rewrite.path
        && head.method != Method::CONNECT
        && head.uri.path() != "*"
    {
        let mut uri = std::mem::take(&mut head.uri).into_parts();
        let old = uri.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        uri.path_and_query = Some(changed_path(change, &old, prefix)?);
        head.uri = Uri::from_parts(uri).map_err(impossible)?;
    }
    Ok(())
}

/// In HTTP/2, and where an HTTP/1 request names the whole URI, the host is part of it.
fn change_host(hostname: &Authority, head: &mut Parts) -> Result<(), Error> {
    if head.uri.authority().is_some() && head.method != Method::CONNECT {
        let mut uri = std::mem::take(&mut head.uri).into_parts();
        uri.authority = Some(hostname.clone());
        head.uri = Uri::from_parts(uri).map_err(impossible)?;
    }
    if head.version < Version::HTTP_2 || head.headers.contains_key(HOST) {
        head.headers.insert(HOST, HeaderValue::from_str(hostname.as_str()).map_err(impossible)?);
    }
    Ok(())
}

/// `old` with another path, or another prefix of it; the query stays.
pub fn changed_path(change: &PathChange, old: &PathAndQuery, prefix: usize) -> Result<PathAndQuery, Error> {
    let mut new = match change {
        PathChange::Whole(path) => path.clone(),
        PathChange::Prefix(new) => format!("{new}{}", old.path().get(prefix..).unwrap_or_default()),
    };
    if !new.starts_with('/') {
        new.insert(0, '/');
    }
    if let Some(query) = old.query() {
        new.push('?');
        new.push_str(query);
    }
    PathAndQuery::try_from(new).map_err(impossible)
}

fn impossible(error: impl std::fmt::Display) -> Error {
    Error::new(Code::Request, format!("the route's rewrite of its target: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    /// A prefix is replaced by whole segments; slashes at the end are neither lost nor doubled.
    #[test]
    fn prefixes_are_replaced() {
        for (path, matched, new, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo?a=/foo", "/foo", "/xyz", "/xyz?a=/foo"),
            ("/foo?a", "/foo", "", "/?a"),
            ("/foo", "", "/xyz", "/xyz/foo"),
            ("/", "", "/xyz", "/xyz/"),
        ] {
            let change = PathChange::Prefix(new.to_owned());
            let changed = changed_path(&change, &path.parse().unwrap(), matched.len()).unwrap();
            assert_eq!(expected, changed, "{path}: {matched} to {new}");
        }
    }

    /// The whole path goes, its query stays.
    #[test]
    fn whole_paths_are_replaced() {
        let changed = changed_path(&PathChange::Whole("/x".into()), &"/a/b?c=d".parse().unwrap(), 2);
        assert_eq!("/x?c=d", changed.unwrap());
    }

    /// What is set takes the place of all that was there; what is added stands beside it.
    #[test]
    fn headers_change() {
        let pair = |name: &'static str, value| (name.parse().unwrap(), HeaderValue::from_static(value));
        let change = HeaderChange {
            set: vec![pair("a", "1")],
            add: vec![pair("b", "2"), pair("c", "3")],
            remove: vec!["d".parse().unwrap()],
        };
        let mut head =
            head(Request::get("/").header("a", "x").header("a", "y").header("b", "z").header("d", "w"));
        change_request(&[Filter::RequestHeaders(change)], &mut head, 0).unwrap();
        let mut left: Vec<_> =
            head.headers.iter().map(|(k, v)| format!("{k}: {}", v.to_str().unwrap())).collect();
        left.sort();
        assert_eq!(vec!["a: 1", "b: 2", "b: z", "c: 3"], left);
    }

    /// A new host is the only one, wherever the version of HTTP has it.
    #[test]
    fn hosts_change() {
        let rewrite = Filter::Rewrite(Rewrite { hostname: Some("new".parse().unwrap()), path: None });
        let changed = |request: http::request::Builder| {
            let mut head = head(request);
            change_request(std::slice::from_ref(&rewrite), &mut head, 0).unwrap();
            (head.uri.to_string(), head.headers.get(HOST).map(|host| host.to_str().unwrap().to_owned()))
        };
        let new = || Some("new".to_owned());
        assert_eq!(("/a".into(), new()), changed(Request::get("/a").header("host", "old")));
        assert_eq!(
            ("http://new/a".into(), new()),
            changed(Request::get("http://old:1/a").header("host", "old"))
        );
        let http2 = Request::get("http://old:1/a?b").version(Version::HTTP_2);
        assert_eq!(("http://new/a?b".into(), None), changed(http2));
    }

    /// What has no path keeps none.
    #[test]
    fn targets_without_path_stay() {
        let path = Some(PathChange::Prefix("/x".into()));
        let rewrite = Filter::Rewrite(Rewrite { hostname: None, path });
        let mut head = head(Request::options("*"));
        change_request(&[rewrite], &mut head, 0).unwrap();
        assert_eq!("*", head.uri);
    }
}
