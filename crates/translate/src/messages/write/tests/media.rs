use super::*;

#[test]
fn media_are_written_as_the_provider_sees_them() {
    let inline = |media_type: &str, data: &str| Source::Inline {
        media_type: media_type.to_owned(),
        data: data.to_owned(),
    };
    let with = |part: Part| chat(vec![turn(Role::User, vec![part])]);
    let document = |source| Part::Document(Media::new(source));
    for (part, expected) in [
        (
            Part::Image(Media::new(inline("image/jpg", "AAAA"))),
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}}),
        ),
        (
            document(inline("application/pdf", "JVBERi0xLjQK")),
            json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}}),
        ),
        (
            document(inline("text/markdown", "aMOp")),
            json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hé"}}),
        ),
        (
            document(inline("image/png", "AAAA")),
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}),
        ),
        (
            document(Source::File("file_1".to_owned())),
            json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
        ),
    ] {
        assert_eq!(
            sent(with(part), NEW).0["messages"][0]["content"][0],
            expected
        );
    }
    for (part, name) in [
        (
            Part::Audio(Media::new(inline("audio/wav", "AAAA"))),
            "input_audio",
        ),
        (document(inline("application/zip", "AAAA")), "file"),
        (document(inline("text/plain", "/w==")), "file"),
        (document(Source::File("file-1".to_owned())), "file"),
        (
            Part::Image(Media::new(Source::Url("gs://b/x".to_owned()))),
            "image_url",
        ),
    ] {
        let problem = refused(with(part), NEW);
        assert!(
            matches!(&problem, Problem::Unsupported { param, .. } if param == name),
            "{problem}"
        );
    }
    let outgoing = write_request(
        with(document(Source::File("file_1".to_owned()))),
        &target(NEW),
    );
    assert_eq!(outgoing.expect("written").betas, ["files-api-2025-04-14"]);
}

#[test]
fn a_result_keeps_pictures_failures_and_what_cannot_be_sent_in_it() {
    let mut failed = result("call_1", vec![Part::text(" ")]);
    if let Part::ToolResult(result) = &mut failed {
        result.is_error = true;
    }
    let picture = Part::Image(Media::new(Source::Url(
        "https://example.com/cat.png".to_owned(),
    )));
    let request = chat(vec![turn(
        Role::User,
        vec![failed, result("call_2", vec![Part::text("see"), picture])],
    )]);
    let body = sent(request, NEW).0;
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"type": "tool_result", "tool_use_id": "call_1", "is_error": true,
             "content": [{"type": "text", "text": "The tool failed."}]},
            {"type": "tool_result", "tool_use_id": "call_2", "content": [
                {"type": "text", "text": "see"},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}}]},
        ])
    );
}
