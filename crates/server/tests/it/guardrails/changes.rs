//! What is changed over the management API holds from the next request on.

use serde_json::json;

use super::{GUARDRAILS, WORD, World, attachments, ways};

#[test]
fn a_guardrail_that_is_changed_detached_or_archived_holds_so_from_the_next_request_on() {
    let world = World::start();
    let guard = world.blocks("pre");
    let key = world.key(&[]);
    let one = format!("{GUARDRAILS}/{guard}");
    let way = ways(&format!("a {WORD} and a haddock"), false).remove(0);
    let status = || world.ask(&key, &way).status();
    let patch = |body| world.gateway.api("PATCH", &one, Some(&body)).fine(200);
    let attach = |ids: &[&str]| {
        let config = json!({"config": {"guardrailAttachments": attachments(&[("pre", ids)])}});
        world.gateway.patch_key(&key, &config).fine(200);
    };
    let words =
        |word: &str| json!({"evaluator": {"slug": "keyword-list", "settings": {"words": [word]}}});
    for round in 0..3 {
        assert_eq!(status(), 200, "{round}: not attached");
        attach(&[&guard]);
        assert_eq!(status(), 403, "{round}: attached");
        patch(words("plaice"));
        assert_eq!(status(), 200, "{round}: another word");
        patch(words("haddock"));
        assert_eq!(status(), 403, "{round}: a word of the text");
        patch(json!({"direction": "post"}));
        assert_eq!(status(), 200, "{round}: another direction");
        patch(json!({"direction": "pre"}));
        assert_eq!(status(), 403, "{round}: back again");
        attach(&[]);
        patch(words(WORD));
    }
    attach(&[&guard]);
    assert_eq!(status(), 403);
    world.gateway.api("DELETE", &one, None).fine(200);
    assert_eq!(status(), 200, "archived");
}
