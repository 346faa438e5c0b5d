//! Every answer that a test sees must be one that the API's own description names.

use serde_json::Value;

/// The description of an API, in OpenAPI.
#[derive(Debug)]
pub struct Described(Value);

impl Described {
    /// As `GET /openapi.json` gives it.
    pub fn new(openapi: Value) -> Self {
        assert!(openapi["paths"].is_object(), "no description: {openapi}");
        Self(openapi)
    }

    /// Fails where such a request isn't described as getting this status. What no route takes is nobody's answer.
    ///
    /// # Panics
    /// So.
    pub fn check(&self, method: &str, path: &str, status: u16) {
        let Some(operation) = self.operation(&method.to_lowercase(), path) else {
            return;
        };
        let named = operation["responses"].as_object().expect("responses");
        assert!(
            named.contains_key(&status.to_string()),
            "{method} {path} answers {status}, and only {:?} are described",
            named.keys().collect::<Vec<_>>()
        );
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let all = self.0["paths"].as_object()?;
        let fitting = all.iter().filter(|(template, _)| fits(template, path));
        // Words fit better than placeholders.
        let (_, item) = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
        item.get(method).or_else(|| match method {
            "head" => item.get("get"),
            _ => None,
        })
    }
}

/// Whether the path is of this template. An object's key may have slashes.
fn fits(template: &str, path: &str) -> bool {
    if template == "/objects/{key}" {
        return path
            .strip_prefix("/objects/")
            .is_some_and(|key| !key.is_empty());
    }
    let mut path = path.split('/');
    let fits = template.split('/').all(|one| {
        path.next()
            .is_some_and(|other| one == other || (one.starts_with('{') && !other.is_empty()))
    });
    fits && path.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described() -> Described {
        Described::new(json!({"paths": {
            "/objects/{key}": {"get": {"responses": {"200": {}}}},
            "/objects/copy": {"post": {"responses": {"404": {}}}},
            "/journal/{id}/retry": {"post": {"responses": {"409": {}}}},
        }}))
    }

    #[test]
    fn the_route_with_the_most_words_answers() {
        let described = described();
        described.check("GET", "/objects/a/b", 200);
        described.check("HEAD", "/objects/a", 200);
        described.check("POST", "/objects/copy", 404);
        described.check("POST", "/journal/7/retry", 409);
        described.check("GET", "/nothing", 404);
        described.check("PUT", "/objects/a", 405);
    }

    #[test]
    #[should_panic(expected = "GET /objects/a/b answers 404, and only [\"200\"] are described")]
    fn what_is_not_described_fails() {
        described().check("GET", "/objects/a/b", 404);
    }
}
