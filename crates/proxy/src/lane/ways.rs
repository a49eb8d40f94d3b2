//! How each surface is served by each kind of provider (providers 1).
//!
//! One table, read by the resolver (which lanes may be tried at all) and by the planner (what is sent).

use lw_translate::Dialect;
use lw_translate::models::Family;
use lw_wire::Surface;

use super::{Lane, LaneKind, Speaks};

/// How a lane serves a surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The provider speaks the caller's dialect: bytes pass as they are.
    Native,
    /// Claude on another cloud takes the caller's Messages body with a few edits (providers 9.3, 7.2).
    Claude,
    /// The caller's conversation is written in this dialect.
    Translated(Dialect),
    /// Claude on another cloud, for a caller of another dialect: Messages body, edited for the cloud.
    TranslatedClaude,
    /// Vectors by another operation.
    Embeddings,
    /// Tokens are counted by another operation.
    Count,
}

/// Which of a cloud's models it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publisher {
    Anthropic,
    Google,
    Other,
}

/// The publisher of a model on Vertex (providers 9.1).
pub(crate) fn publisher(model: &str) -> Publisher {
    let named = model
        .strip_prefix("publishers/")
        .and_then(|rest| rest.split_once('/'))
        .map(|(publisher, _)| publisher);
    match named {
        Some("anthropic") => Publisher::Anthropic,
        Some("google") => Publisher::Google,
        Some(_) => Publisher::Other,
        None if Family::of(model).is_claude() => Publisher::Anthropic,
        // `meta/llama-4-maverick-17b-128e-instruct-maas` and the like.
        None if model.contains('/') || model.ends_with("-maas") => Publisher::Other,
        None => Publisher::Google,
    }
}

impl Lane {
    /// Whether the lane serves the surface with any model.
    #[must_use]
    pub fn serves(&self, surface: Surface) -> bool {
        // Gemini's Agent Platform keeps nothing under these names.
        let platform = !self.address.project.is_empty();
        serves(self.kind, self.speaks, surface) && !(surface == Surface::GeminiFiles && platform)
    }

    /// How the lane serves the surface with this model; `None` when it cannot.
    #[must_use]
    pub fn way(&self, surface: Surface, model: &str) -> Option<Way> {
        self.serves(surface)
            .then(|| way(self.kind, self.speaks, surface, model))?
    }
}

fn serves(kind: LaneKind, speaks: Speaks, surface: Surface) -> bool {
    match (kind, surface) {
        (LaneKind::Anthropic, Surface::Embeddings | Surface::GeminiEmbed) => false,
        (LaneKind::Azure, Surface::CountTokens | Surface::GeminiCount) => false,
        (LaneKind::Compatible("voyage"), surface) => {
            matches!(surface, Surface::Embeddings)
        }
        (LaneKind::Compatible(_), Surface::CountTokens) => speaks.messages,
        (LaneKind::Compatible(_), Surface::GeminiCount) => false,
        (kind, Surface::GeminiFiles) => kind == LaneKind::Gemini,
        _ => true,
    }
}

fn way(kind: LaneKind, speaks: Speaks, surface: Surface, model: &str) -> Option<Way> {
    use Way::{Claude, Count, Embeddings, Native, Translated, TranslatedClaude};
    if !serves(kind, speaks, surface) {
        return None;
    }
    Some(match kind {
        LaneKind::OpenAi | LaneKind::Azure => match surface {
            Surface::Chat | Surface::Responses | Surface::Embeddings => Native,
            Surface::Messages | Surface::Generate => Translated(Dialect::Responses),
            Surface::CountTokens | Surface::GeminiCount => Count,
            Surface::GeminiEmbed => Embeddings,
            Surface::GeminiFiles => return None,
        },
        LaneKind::Compatible(_) => match surface {
            Surface::Chat | Surface::Embeddings => Native,
            Surface::Responses if speaks.responses => Native,
            Surface::Messages | Surface::CountTokens if speaks.messages => Native,
            Surface::Responses | Surface::Messages | Surface::Generate => Translated(Dialect::Chat),
            Surface::GeminiEmbed => Embeddings,
            Surface::CountTokens | Surface::GeminiCount | Surface::GeminiFiles => return None,
        },
        LaneKind::Anthropic => match surface {
            Surface::Messages | Surface::CountTokens => Native,
            Surface::Chat | Surface::Responses | Surface::Generate => Translated(Dialect::Messages),
            Surface::GeminiCount => Count,
            Surface::Embeddings | Surface::GeminiEmbed | Surface::GeminiFiles => return None,
        },
        LaneKind::Bedrock => bedrock(speaks, surface, model)?,
        LaneKind::Vertex => match (publisher(model), surface) {
            (_, Surface::Embeddings | Surface::GeminiEmbed) => Embeddings,
            (Publisher::Anthropic, Surface::Messages) => Claude,
            (Publisher::Anthropic, Surface::CountTokens | Surface::GeminiCount) => Count,
            (Publisher::Anthropic, Surface::Chat | Surface::Responses | Surface::Generate) => {
                TranslatedClaude
            }
            (Publisher::Google, Surface::Generate | Surface::GeminiCount) => Native,
            (Publisher::Google, Surface::CountTokens) => Count,
            (Publisher::Google, Surface::Chat | Surface::Responses | Surface::Messages) => {
                Translated(Dialect::Gemini)
            }
            (Publisher::Other, Surface::Chat) => Native,
            (Publisher::Other, Surface::Responses | Surface::Messages | Surface::Generate) => {
                Translated(Dialect::Chat)
            }
            _ => return None,
        },
        LaneKind::Gemini => match surface {
            Surface::Generate
            | Surface::GeminiCount
            | Surface::GeminiEmbed
            | Surface::GeminiFiles => Native,
            Surface::Chat | Surface::Responses | Surface::Messages => Translated(Dialect::Gemini),
            Surface::Embeddings => Embeddings,
            Surface::CountTokens => Count,
        },
    })
}

fn bedrock(speaks: Speaks, surface: Surface, model: &str) -> Option<Way> {
    let invoke = speaks.invoke && Family::of(model).is_claude();
    Some(match surface {
        Surface::Messages if invoke => Way::Claude,
        Surface::Chat | Surface::Responses | Surface::Generate if invoke => Way::TranslatedClaude,
        Surface::Chat | Surface::Responses | Surface::Messages | Surface::Generate => {
            Way::Translated(Dialect::Converse)
        }
        Surface::Embeddings | Surface::GeminiEmbed => Way::Embeddings,
        Surface::CountTokens | Surface::GeminiCount => Way::Count,
        Surface::GeminiFiles => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_publisher_is_told_by_the_name() {
        for (model, expected) in [
            ("gemini-2.5-pro", Publisher::Google),
            ("text-embedding-005", Publisher::Google),
            ("claude-sonnet-4-5@20250929", Publisher::Anthropic),
            (
                "publishers/anthropic/models/claude-opus-4-6",
                Publisher::Anthropic,
            ),
            ("publishers/google/models/gemini-3-pro", Publisher::Google),
            ("publishers/meta/models/llama-4", Publisher::Other),
            (
                "meta/llama-4-maverick-17b-128e-instruct-maas",
                Publisher::Other,
            ),
        ] {
            assert_eq!(publisher(model), expected, "{model}");
        }
    }

    /// What `docs/compatibility.md` says of surfaces and kinds is made of this snapshot.
    #[test]
    fn every_surface_has_its_way_to_every_kind() {
        let speaks = Speaks::default();
        let invokes = Speaks {
            invoke: true,
            ..speaks
        };
        let responds = Speaks {
            responses: true,
            ..speaks
        };
        let rows = [
            ("OpenAI", LaneKind::OpenAi, speaks, "gpt-5"),
            ("Azure OpenAI", LaneKind::Azure, speaks, "gpt-5"),
            ("Anthropic", LaneKind::Anthropic, speaks, "claude-opus-4-6"),
            ("Bedrock", LaneKind::Bedrock, speaks, "amazon.nova-pro-v1:0"),
            (
                "Bedrock, Claude by `anthropic_invoke`",
                LaneKind::Bedrock,
                invokes,
                "anthropic.claude-opus-4-6-v1",
            ),
            (
                "Vertex AI, Gemini",
                LaneKind::Vertex,
                speaks,
                "gemini-2.5-pro",
            ),
            (
                "Vertex AI, Claude",
                LaneKind::Vertex,
                speaks,
                "claude-opus-4-6",
            ),
            (
                "Vertex AI, other publishers",
                LaneKind::Vertex,
                speaks,
                "meta/llama-4-maas",
            ),
            ("Gemini", LaneKind::Gemini, speaks, "gemini-2.5-pro"),
            (
                "Compatible servers",
                LaneKind::Compatible("custom"),
                speaks,
                "llama-3.3",
            ),
            (
                "Compatible servers with `responses_api`",
                LaneKind::Compatible("custom"),
                responds,
                "llama-3.3",
            ),
            (
                "Voyage",
                LaneKind::Compatible("voyage"),
                speaks,
                "voyage-3.5",
            ),
        ];
        let surfaces = [
            ("chat", Surface::Chat),
            ("responses", Surface::Responses),
            ("messages", Surface::Messages),
            ("generate", Surface::Generate),
            ("embeddings", Surface::Embeddings),
            ("gemini_embed", Surface::GeminiEmbed),
            ("count_tokens", Surface::CountTokens),
            ("gemini_count", Surface::GeminiCount),
        ];
        let table: Vec<serde_json::Value> = rows
            .iter()
            .map(|(name, kind, speaks, model)| {
                let ways: serde_json::Map<String, serde_json::Value> = surfaces
                    .iter()
                    .map(|(word, surface)| {
                        let shown = way(*kind, *speaks, *surface, model);
                        let shown = shown.map(|way| format!("{way:?}"));
                        ((*word).to_owned(), shown.into())
                    })
                    .collect();
                serde_json::json!({"provider": name, "ways": ways})
            })
            .collect();
        insta::assert_json_snapshot!(table);
    }
}
