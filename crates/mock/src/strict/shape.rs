//! What a JSON value may look like, as tables.
//!
//! Start at [`Shape`] and [`fault`].

use serde_json::Value;

/// A value's shape.
pub(super) enum Shape {
    Any,
    Text,
    Bool,
    Number,
    Whole,
    /// Any object.
    Map,
    /// An object whose values all have this shape.
    Dict(&'static Shape),
    List(&'static Shape),
    /// One of these words.
    Word(&'static [&'static str]),
    /// An object with no other members than these.
    Object(&'static [(&'static str, &'static Shape)]),
    /// An object with exactly one of these members.
    Union(&'static [(&'static str, &'static Shape)]),
}

/// The first thing that is wrong.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Fault {
    /// Where: member names and positions from the root.
    pub(super) at: Vec<String>,
    pub(super) what: What,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum What {
    Unknown(String),
    /// What it should be.
    Kind(&'static str),
    /// A union with none of its members, or several.
    NotOne,
}

/// How member names are written.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Names {
    Exact,
    /// `camelCase` in the table, `snake_case` too on the wire.
    EitherCase,
}

pub(super) fn fault(value: &Value, shape: &Shape, names: Names) -> Option<Fault> {
    let mut at = Vec::new();
    let what = Walk { names }.walk(value, shape, &mut at)?;
    Some(Fault { at, what })
}

struct Walk {
    names: Names,
}

impl Walk {
    fn walk(&self, value: &Value, shape: &Shape, at: &mut Vec<String>) -> Option<What> {
        let kind = |holds: bool, wanted| (!holds).then_some(What::Kind(wanted));
        match shape {
            Shape::Any => None,
            Shape::Text => kind(value.is_string(), "a string"),
            Shape::Bool => kind(value.is_boolean(), "a boolean"),
            Shape::Number => kind(value.is_number(), "a number"),
            Shape::Whole => kind(value.is_i64() || value.is_u64(), "an integer"),
            Shape::Map => kind(value.is_object(), "an object"),
            Shape::Word(words) => {
                let known = value.as_str().is_some_and(|text| words.contains(&text));
                kind(known, "one of the known values")
            }
            Shape::List(inner) => {
                let Some(items) = value.as_array() else {
                    return Some(What::Kind("a list"));
                };
                let mut each = items.iter().enumerate();
                each.find_map(|(n, item)| self.inside(item, inner, n.to_string(), at))
            }
            Shape::Dict(inner) => {
                let Some(members) = value.as_object() else {
                    return Some(What::Kind("an object"));
                };
                let mut each = members.iter();
                each.find_map(|(name, item)| self.inside(item, inner, name.clone(), at))
            }
            Shape::Object(table) => self.members(value, table, at),
            Shape::Union(table) => self.members(value, table, at).or_else(|| {
                let one = value.as_object().is_some_and(|members| members.len() == 1);
                (!one).then_some(What::NotOne)
            }),
        }
    }

    fn members(
        &self,
        value: &Value,
        table: &[(&'static str, &'static Shape)],
        at: &mut Vec<String>,
    ) -> Option<What> {
        let Some(members) = value.as_object() else {
            return Some(What::Kind("an object"));
        };
        members.iter().find_map(|(name, item)| {
            let wanted = match self.names {
                Names::Exact => name.clone(),
                Names::EitherCase => camel(name),
            };
            match table.iter().find(|(known, _)| *known == wanted) {
                Some(_) if item.is_null() => None,
                Some((_, shape)) => self.inside(item, shape, name.clone(), at),
                None => Some(What::Unknown(name.clone())),
            }
        })
    }

    /// Leaves the path where the fault is.
    fn inside(
        &self,
        value: &Value,
        shape: &Shape,
        name: String,
        at: &mut Vec<String>,
    ) -> Option<What> {
        at.push(name);
        let found = self.walk(value, shape, at);
        if found.is_none() {
            at.pop();
        }
        found
    }
}

fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut up = false;
    for letter in name.chars() {
        match letter {
            '_' if !out.is_empty() => up = true,
            _ if std::mem::take(&mut up) => out.extend(letter.to_uppercase()),
            _ => out.push(letter),
        }
    }
    out
}

/// `contents[0].parts`
pub(super) fn bracketed(at: &[String]) -> String {
    let mut out = String::new();
    for step in at {
        if step.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push_str(&format!("[{step}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(step);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Names, Shape, What, bracketed, fault};
    use serde_json::json;

    static INNER: Shape = Shape::Object(&[("aB", &Shape::Text), ("again", &INNER)]);
    static OUTER: Shape = Shape::Object(&[("list", &Shape::List(&INNER))]);

    #[test]
    fn the_first_fault_is_named_with_its_place() {
        let good = json!({"list": [{"aB": "x", "again": {"a_b": null}}]});
        assert_eq!(fault(&good, &OUTER, Names::EitherCase), None);
        let found = fault(&good, &OUTER, Names::Exact).expect("a fault");
        assert_eq!(found.what, What::Unknown("a_b".to_owned()));
        assert_eq!(bracketed(&found.at), "list[0].again");
        let found = fault(&json!({"list": [{}, {"aB": 1}]}), &OUTER, Names::Exact);
        let found = found.expect("a fault");
        assert_eq!(
            (found.at.join("."), found.what),
            ("list.1.aB".to_owned(), What::Kind("a string"))
        );
    }
}
