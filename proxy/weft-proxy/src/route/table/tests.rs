//! The table against the words of its rules, taken one after the other.

use http::{Method, Request};
use regex::bytes::Regex;

use super::*;
use crate::balance::Lots;

const SEGMENTS: [&str; 4] = ["a", "b", "ab", ""];
const METHODS: [Method; 2] = [Method::GET, Method::POST];
const VALUES: [&str; 3] = ["x", "y", "x y"];
const QUERIES: [&str; 7] = ["", "?q=x", "?q=y&q=x", "?q=x+y", "?q=x%20y", "?p=x", "?q"];

fn any() -> RouteMatch {
    RouteMatch { method: None, path: PathMatch::Any, headers: Vec::new(), queries: Vec::new() }
}

fn routes(matches: impl IntoIterator<Item = Vec<RouteMatch>>) -> Arc<[Route]> {
    matches.into_iter().map(|matches| Route { matches, ..Route::default() }).collect()
}

fn path(lots: &Lots) -> String {
    (0..lots.below(4)).map(|_| format!("/{}", SEGMENTS[lots.below(4)])).collect()
}

fn lot<'a, T>(lots: &Lots, all: &'a [T]) -> &'a T {
    &all[lots.below(all.len())]
}

fn rule(lots: &Lots) -> RouteMatch {
    let some = |odds| lots.below(odds) == 0;
    let value = || match lots.below(3) {
        0 => Pattern::Regex(Regex::new("^(?:x.*)$").unwrap()),
        _ => Pattern::Exact((*lot(lots, &VALUES)).to_owned()),
    };
    let path = match (lots.below(4), path(lots)) {
        (0, path) => PathMatch::Exact(path),
        (1, path) if !path.trim_end_matches('/').is_empty() => {
            PathMatch::Prefix(path.strip_suffix('/').unwrap_or(&path).to_owned())
        }
        (2, path) => PathMatch::Regex(Regex::new(&format!("^(?:{path}/?)$")).unwrap()),
        _ => PathMatch::Any,
    };
    let header = |_| ValueMatch { name: HeaderName::from_static("h"), value: value() };
    let query = |_| ValueMatch { name: "q".to_owned(), value: value() };
    RouteMatch {
        method: some(3).then(|| lot(lots, &METHODS).clone()),
        path,
        headers: some(3).then_some(()).into_iter().map(header).collect(),
        queries: some(3).then_some(()).into_iter().map(query).collect(),
    }
}

fn head(lots: &Lots) -> Parts {
    let path = Some(path(lots)).filter(|path| !path.is_empty()).unwrap_or("/".to_owned());
    let mut request = Request::builder().method(lot(lots, &METHODS)).uri(path + *lot(lots, &QUERIES));
    for _ in 0..lots.below(3) {
        request = request.header("h", *lot(lots, &VALUES));
    }
    request.body(()).unwrap().into_parts().0
}

/// The rule's words, put another way than the table does.
fn naive(rule: &RouteMatch, head: &Parts) -> bool {
    let path = head.uri.path();
    let segments = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let fits = |pattern: &Pattern, value: &str| match pattern {
        Pattern::Exact(exact) => exact == value,
        Pattern::Regex(regex) => regex.is_match(value.as_bytes()),
    };
    let path_fits = match &rule.path {
        PathMatch::Any => true,
        PathMatch::Exact(exact) => exact == path,
        PathMatch::Prefix(prefix) => segments(path).starts_with(&segments(prefix)),
        PathMatch::Regex(regex) => regex.is_match(path.as_bytes()),
    };
    let query = match head.uri.query() {
        Some(query) if query.starts_with("q") => {
            let first = query.split('&').next().unwrap();
            Some(first.trim_start_matches("q").trim_start_matches('=').replace("%20", " ").replace('+', " "))
        }
        _ => None,
    };
    let headers: Vec<_> = head.headers.get_all("h").iter().map(|value| value.to_str().unwrap()).collect();
    path_fits
        && rule.method.iter().all(|method| *method == head.method)
        && rule.headers.iter().all(|rule| headers.iter().any(|value| fits(&rule.value, value)))
        && rule.queries.iter().all(|rule| query.as_ref().is_some_and(|value| fits(&rule.value, value)))
}

/// Whatever the rules and the request are: the first that matches, by order of routes and of their matches, wins.
#[test]
fn the_first_match_wins() {
    let lots = Lots::new(5);
    for _ in 0..500 {
        let routes = routes((0..lots.below(12)).map(|_| (0..lots.below(4)).map(|_| rule(&lots)).collect()));
        let table = Table::new(routes.clone());
        for _ in 0..20 {
            let head = head(&lots);
            let fits = |route: &Route| {
                route.matches.is_empty() || route.matches.iter().any(|rule| naive(rule, &head))
            };
            let expected = routes.iter().position(fits);
            assert_eq!(expected, table.find(&head).map(|found| found.route), "{head:?} {routes:#?}");
        }
    }
}

fn found(rule: RouteMatch, request: http::request::Builder) -> Option<Found> {
    Table::new(routes([vec![rule]])).find(&request.body(()).unwrap().into_parts().0)
}

/// Prefixes match whole segments, and the slash at their end counts for nothing.
#[test]
fn prefixes_are_of_segments() {
    let matches = |path: &str| {
        let rule = RouteMatch { path: PathMatch::Prefix("/abc".into()), ..any() };
        found(rule, Request::get(path)).map(|found| found.prefix)
    };
    let paths = ["/abc", "/abc/", "/abc/def", "/abcd", "/", "/ab", "/abc?x=/abc"];
    assert_eq!([Some(4), Some(4), Some(4), None, None, None, Some(4)], paths.map(matches));
}

/// The host is matched wherever the version of HTTP has it.
#[test]
fn the_host_is_a_header_in_every_version() {
    let host = |value: &str| ValueMatch { name: HOST, value: Pattern::Exact(value.to_owned()) };
    let rule = || RouteMatch { headers: vec![host("shop")], ..any() };
    assert!(found(rule(), Request::get("/").header("host", "shop")).is_some());
    assert!(found(rule(), Request::get("http://shop/")).is_some());
    assert_eq!(None, found(rule(), Request::get("http://other/")));
}

/// Expressions too large to be tried at once are tried one after the other, with the same outcome.
#[test]
fn large_expressions_are_tried_alone() {
    let large = |n| {
        let path = Regex::new(&format!("^(?:/{n}/[a-z]{{1,900}}x?)$")).unwrap();
        vec![RouteMatch { path: PathMatch::Regex(path), ..any() }]
    };
    let (few, many) = (Table::new(routes((0..2).map(large))), Table::new(routes((0..60).map(large))));
    assert_eq!((true, false), (few.together.is_some(), many.together.is_some()));
    for (table, path, expected) in [(&few, "/1/abc", 1), (&many, "/1/abc", 1), (&many, "/59/x", 59)] {
        let head = Request::get(path).body(()).unwrap().into_parts().0;
        assert_eq!(Some(Found { route: expected, prefix: 0 }), table.find(&head));
    }
}

/// A thousand exact paths are not looked through one after the other.
#[test]
fn exact_paths_are_indexed() {
    let exact = |n| vec![RouteMatch { path: PathMatch::Exact(format!("/{n}")), ..any() }];
    let table = Table::new(routes((0..1000).map(exact)));
    assert!(table.others.is_empty() && table.exact.values().all(|entries| entries.len() == 1));
    let head = Request::get("/999").body(()).unwrap().into_parts().0;
    assert_eq!(Some(Found { route: 999, prefix: 0 }), table.find(&head));
}
