//! The shapes of own prices in the API description. Start at [`schemas`].

use serde_json::{Value, json};

use super::body::RATES;
use crate::schemas::{Named, input, named, object, or_null, text, text_of, time};

/// Every shape.
pub(crate) fn schemas() -> Vec<Named> {
    vec![
        ("ModelPrice", price()),
        ("ModelPriceRates", rates()),
        (
            "NewModelPrice",
            input(
                &[
                    ("model", text_of(1, 256)),
                    ("rates", named("ModelPriceRates")),
                ],
                &[("provider", or_null(kind()))],
            ),
        ),
        (
            "ModelPricePatch",
            input(
                &[],
                &[
                    ("model", text_of(1, 256)),
                    ("rates", named("ModelPriceRates")),
                    ("provider", or_null(kind())),
                ],
            ),
        ),
    ]
}

fn price() -> Value {
    let rates = RATES.map(|name| (name, or_null(text())));
    object(
        &[
            ("id", text()),
            ("organization_id", text()),
            ("model", text()),
            ("provider", or_null(text())),
            ("rates", object(&rates, &[])),
            ("created_at", time()),
            ("updated_at", time()),
        ],
        &[],
    )
}

fn kind() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9_]{1,32}$" })
}

/// Dollars for one token, as numbers or decimal texts.
fn rates() -> Value {
    let rate = json!({ "anyOf": [
        { "type": "number", "minimum": 0, "maximum": 1 },
        { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$", "maxLength": 50 },
        { "type": "null" },
    ] });
    object(&[], &RATES.map(|name| (name, rate.clone())))
}
