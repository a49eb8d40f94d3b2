//! What each case of a request shows, in the words of somebody who wants to know whether it works.

/// The features by group: name of the case, and what a reader calls it.
pub(super) const GROUPS: [(&str, &[(&str, &str)]); 7] = [
    (
        "Conversations",
        &[
            ("plain_text", "Text"),
            ("multi_turn", "Several turns"),
            ("system_text", "System prompt"),
            ("several_systems", "Several system or developer messages"),
            ("consecutive_user_turns", "Several user messages in a row"),
            ("prefill", "A last turn that the model shall go on from"),
            ("empty_text_parts", "Empty texts between others"),
            ("unicode_escapes", "Every letter of Unicode, escaped or not"),
            ("streaming", "Streaming"),
            ("snake_case", "Fields in `snake_case`"),
            ("coding_agent", "A coding agent's long request"),
        ],
    ),
    (
        "Tools",
        &[
            ("one_tool", "Tools"),
            ("tool_without_schema", "Tools without a schema"),
            ("tool_round_trip", "Calls and their results"),
            (
                "parallel_tools_round_trip",
                "Several calls at once, and their results",
            ),
            ("calls_without_ids", "Calls without ids"),
            ("choice_auto", "Tool choice: the model decides"),
            ("choice_any", "Tool choice: some tool"),
            ("choice_named", "Tool choice: one named tool"),
            ("choice_none", "Tool choice: none"),
            ("allowed_tools", "Tool choice: some of the tools"),
            ("one_call_at_a_time", "One call at a time"),
            ("tool_json_result", "Results that are JSON"),
            ("tool_error_result", "Results that are errors"),
            ("tool_image_result", "Results with images"),
            ("results_and_text", "Results and text in one message"),
            ("empty_arguments", "Calls without arguments"),
            ("broken_arguments", "Past calls whose arguments are no JSON"),
            (
                "big_numbers_in_arguments",
                "Numbers that floats cannot hold",
            ),
            ("odd_tool_ids", "Ids that other vendors made"),
            ("freeform_tool", "Tools with free-form input"),
            ("namespace_tools", "Tools in namespaces"),
            (
                "client_tools",
                "Tools that the vendor defines and the caller runs",
            ),
            ("hosted_tool", "Tools that the vendor runs (web search ...)"),
        ],
    ),
    (
        "Images, documents, sound",
        &[
            ("image_base64", "An image in the body"),
            ("image_url", "An image by its address"),
            ("two_images", "Several images"),
            ("document_pdf", "A PDF"),
            ("document_url", "A document by its address"),
            ("document_text", "A document of plain text"),
            ("document_blocks", "A document of blocks"),
            ("search_result", "Search results to cite"),
            ("audio_input", "Sound"),
        ],
    ),
    (
        "Structured output",
        &[
            ("json_output", "Any JSON"),
            ("schema_output", "JSON by a schema"),
            (
                "google_schema_output",
                "JSON by a schema in Google's own notation",
            ),
        ],
    ),
    (
        "Thinking",
        &[
            ("reasoning_effort", "Effort"),
            ("reasoning_budget", "Budget in tokens"),
            ("reasoning_off", "No thinking"),
            ("thinking_round_trip", "Thinking of earlier turns"),
            (
                "foreign_thinking",
                "Thinking of earlier turns by another vendor's model",
            ),
        ],
    ),
    (
        "Sampling and limits",
        &[
            ("max_tokens", "Most tokens of the answer"),
            ("stop_sequences", "Stop sequences"),
            ("sampling", "Temperature, top-p"),
            ("top_k", "Top-k"),
            ("penalties", "Penalties"),
            ("logprobs", "Log probabilities"),
        ],
    ),
    (
        "Accounts, caches, the rest",
        &[
            ("cache_markers", "Cache markers"),
            ("cached_content", "A cache that lies at the vendor"),
            ("end_user", "The end user's name"),
            ("service_tier", "Service tier"),
            ("unknown_fields", "Fields that only this dialect has"),
            (
                "strict_refusal",
                "The same with `\"drop_tuning_params\": false`",
            ),
        ],
    ),
];

/// The title of a case.
pub(super) fn title_of(case: &str) -> Option<&'static str> {
    GROUPS
        .iter()
        .flat_map(|(_, features)| features.iter())
        .find_map(|(name, title)| (*name == case).then_some(*title))
}
