use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    EmbeddingAnswer, EmbeddingsRequest, Encoding, Plan, plan, read_gemini, read_openai,
    write_gemini, write_openai,
};
use crate::{Problem, Target};

fn openai(body: &Value) -> EmbeddingsRequest {
    read_openai(body.to_string().as_bytes()).expect("a request")
}

fn planned(request: EmbeddingsRequest, provider: &str, model: &str) -> Plan {
    let target = Target {
        provider,
        model,
        name: model,
        max_output: None,
    };
    plan(request, &target).expect("a plan")
}

fn bodies(plan: &Plan) -> Vec<(&str, Value)> {
    plan.calls
        .iter()
        .map(|call| {
            let body = serde_json::from_slice(&call.body).expect("the body is JSON");
            (call.operation, body)
        })
        .collect()
}

fn merged(plan: &Plan, answers: &[Value]) -> Result<super::Vectors, Problem> {
    let bodies: Vec<String> = answers.iter().map(Value::to_string).collect();
    let answers: Vec<EmbeddingAnswer<'_>> = bodies
        .iter()
        .map(|body| EmbeddingAnswer {
            body: body.as_bytes(),
            header_tokens: None,
        })
        .collect();
    plan.merge(&answers)
}

#[test]
fn input_is_text_and_there_is_some() {
    assert_eq!(openai(&json!({"input": "a"})).inputs, ["a"]);
    assert_eq!(openai(&json!({"input": ["a", "b"]})).inputs, ["a", "b"]);
    for input in [
        json!(null),
        json!([]),
        json!({}),
        json!(7),
        json!([{}]),
        json!([1, 2]),
        json!([[1], [2]]),
        json!(["a", null]),
    ] {
        let body = json!({"model": "m", "input": input});
        assert!(
            matches!(
                read_openai(body.to_string().as_bytes()),
                Err(Problem::Bad { param, .. }) if param == "input"
            ),
            "{body}"
        );
    }
    assert!(read_openai(br#"{"input":"a","encoding_format":"binary"}"#).is_err());
    assert!(read_openai(b"{}").is_err());
}

#[test]
fn gemini_takes_one_text_or_a_batch() {
    let one = planned(
        openai(
            &json!({"input": "a", "dimensions": 256, "task_type": "RETRIEVAL_QUERY", "user": "ada"}),
        ),
        "gemini",
        "gemini-embedding-001",
    );
    assert_eq!(
        bodies(&one),
        [(
            "embedContent",
            json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]},
                "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 256})
        )]
    );
    assert_eq!(one.dropped, ["user"]);
    let vectors = merged(&one, &[json!({"embedding": {"values": [0.5, -1.0]}})]).expect("vectors");
    assert_eq!(vectors.tokens, None);
    let many = planned(
        openai(&json!({"input": vec!["x"; 130]})),
        "gemini",
        "gemini-embedding-001",
    );
    let calls = bodies(&many);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].0, "batchEmbedContents");
    assert_eq!(calls[1].1["requests"].as_array().map(Vec::len), Some(30));
}

#[test]
fn vertex_takes_instances_one_by_one_for_the_gemini_models() {
    let request = || openai(&json!({"input": ["a", "b"], "dimensions": 3, "auto_truncate": false}));
    let plan = planned(request(), "vertex", "text-embedding-005");
    assert_eq!(
        bodies(&plan),
        [(
            "predict",
            json!({"instances": [{"content": "a"}, {"content": "b"}],
                "parameters": {"outputDimensionality": 3, "autoTruncate": false}})
        )]
    );
    let plan = planned(request(), "vertex", "gemini-embedding-001");
    assert_eq!(plan.calls.len(), 2);
    let answer = |n: u32| json!({"predictions": [{"embeddings": {"values": [n, 0.5], "statistics": {"token_count": n, "truncated": false}}}]});
    let vectors = merged(&plan, &[answer(1), answer(2)]).expect("vectors");
    assert_eq!(vectors.tokens, Some(3));
    let written: Value =
        serde_json::from_slice(&write_openai(&vectors, Encoding::Float, "m")).expect("JSON");
    assert_eq!(
        written,
        json!({"object": "list", "data": [
            {"object": "embedding", "index": 0, "embedding": [1, 0.5]},
            {"object": "embedding", "index": 1, "embedding": [2, 0.5]}],
            "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    );
}

#[test]
fn titan_takes_a_text_a_call_and_its_first_version_has_one_length() {
    let request = || openai(&json!({"input": ["a", "b"], "dimensions": 256, "normalize": true}));
    let second = planned(request(), "bedrock", "amazon.titan-embed-text-v2:0");
    assert_eq!(
        bodies(&second),
        [
            (
                "invoke",
                json!({"inputText": "a", "dimensions": 256, "normalize": true})
            ),
            (
                "invoke",
                json!({"inputText": "b", "dimensions": 256, "normalize": true})
            ),
        ]
    );
    let first = planned(request(), "bedrock", "amazon.titan-embed-text-v1");
    assert_eq!(bodies(&first)[0].1, json!({"inputText": "a"}));
    assert_eq!(first.dropped, ["dimensions", "normalize"]);
    let answer = |n: u32| json!({"embedding": [n], "inputTextTokenCount": n});
    let vectors = merged(&second, &[answer(2), answer(3)]).expect("vectors");
    assert_eq!(vectors.tokens, Some(5));
    assert_eq!(vectors.values[1].get(), "[3]");
}

#[test]
fn cohere_takes_many_texts_and_needs_their_kind() {
    let request = |input: Value| openai(&json!({"input": input, "dimensions": 512}));
    let third = planned(request(json!(["a"])), "bedrock", "cohere.embed-english-v3");
    assert_eq!(
        bodies(&third),
        [(
            "invoke",
            json!({"texts": ["a"], "input_type": "search_document", "embedding_types": ["float"]})
        )]
    );
    assert_eq!(third.dropped, ["dimensions"]);
    let fourth = planned(
        request(json!(vec!["a"; 97])),
        "bedrock",
        "us.cohere.embed-v4:0",
    );
    assert_eq!(fourth.calls.len(), 2);
    assert_eq!(bodies(&fourth)[1].1["output_dimension"], 512);
    let body = json!({"embeddings": {"float": [[0.5]]}, "response_type": "embeddings_by_type"});
    let body = body.to_string();
    let answer = EmbeddingAnswer {
        body: body.as_bytes(),
        header_tokens: Some(4),
    };
    assert_eq!(third.merge(&[answer]).expect("vectors").tokens, Some(4));
    let plain = merged(&third, &[json!({"embeddings": [[0.5]]})]).expect("vectors");
    assert_eq!((plain.values[0].get(), plain.tokens), ("[0.5]", None));
}

#[test]
fn answers_that_do_not_fit_the_calls_are_refused() {
    let plan = planned(openai(&json!({"input": ["a", "b"]})), "gemini", "m");
    for answer in [
        json!({"embeddings": [{"values": [1]}]}),
        json!({"embeddings": [{"values": ["x"]}, {"values": [1]}]}),
        json!({"error": {}}),
        json!([]),
    ] {
        assert!(
            merged(&plan, std::slice::from_ref(&answer)).is_err(),
            "{answer}"
        );
    }
    assert!(merged(&plan, &[]).is_err());
}

#[test]
fn strict_callers_get_a_refusal_instead_of_a_drop() {
    let request = openai(&json!({"input": "a", "user": "ada", "drop_tuning_params": false}));
    let target = Target {
        provider: "gemini",
        model: "m",
        name: "m",
        max_output: None,
    };
    assert!(matches!(
        plan(request, &target),
        Err(Problem::Unsupported { param, .. }) if param == "user"
    ));
}

#[test]
fn geminis_callers_are_served_by_other_vendors() {
    let single = json!({"model": "models/m", "content": {"parts": [{"text": "a"}, {"text": "b"}]},
        "taskType": "RETRIEVAL_QUERY", "output_dimensionality": 256});
    let request = read_gemini(single.to_string().as_bytes(), false).expect("a request");
    assert_eq!(request.model, "m");
    let voyage = planned(request.clone(), "voyage", "voyage-3");
    assert_eq!(
        bodies(&voyage),
        [(
            "embeddings",
            json!({"model": "voyage-3", "input": ["a\nb"], "input_type": "query", "output_dimension": 256})
        )]
    );
    let vectors = merged(
        &voyage,
        &[json!({"data": [{"index": 0, "embedding": [0.25]}], "usage": {"total_tokens": 3}})],
    )
    .expect("vectors");
    assert_eq!(
        String::from_utf8_lossy(&write_gemini(&vectors, false)),
        r#"{"embedding":{"values":[0.25]},"usageMetadata":{"promptTokenCount":3}}"#
    );
    let plan = planned(request, "openai", "text-embedding-3-small");
    assert_eq!(plan.dropped, ["taskType"]);

    let batch = json!({"requests": [{"content": "a"}, {"content": {"parts": ["b"]}}]});
    let request = read_gemini(batch.to_string().as_bytes(), true).expect("a request");
    let plan = planned(request, "openai", "text-embedding-3-small");
    let answer = json!({"data": [{"index": 1, "embedding": "AACAPw=="}, {"index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2}});
    let vectors = merged(&plan, &[answer]).expect("vectors");
    assert_eq!(
        String::from_utf8_lossy(&write_gemini(&vectors, true)),
        r#"{"embeddings":[{"values":[0.5]},{"values":[1.0]}],"usageMetadata":{"promptTokenCount":2}}"#
    );
    for body in [
        json!({"requests": []}),
        json!({"requests": [{"content": "a"}, {"content": "b", "taskType": "CLUSTERING"}]}),
        json!({"requests": [{"content": {"parts": [{"inlineData": {}}]}}]}),
        json!({"requests": [{}]}),
    ] {
        assert!(
            read_gemini(body.to_string().as_bytes(), true).is_err(),
            "{body}"
        );
    }
}

proptest! {
    #[test]
    fn packed_vectors_are_the_same_numbers(numbers in prop::collection::vec(-1.0e3_f32..1.0e3, 1..20)) {
        let plan = planned(openai(&json!({"input": "a"})), "bedrock", "amazon.titan-embed-text-v2:0");
        let vectors = merged(&plan, &[json!({"embedding": numbers})]).expect("vectors");
        let written = write_openai(&vectors, Encoding::Base64, "m");
        let again = planned(openai(&json!({"input": "a"})), "openai", "m");
        let read: Value = serde_json::from_slice(&written).expect("JSON");
        let vectors = merged(&again, &[read]).expect("vectors");
        let back: Vec<f32> = serde_json::from_str(vectors.values[0].get()).expect("numbers");
        prop_assert_eq!(back, numbers);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100), text in any::<String>()) {
        let _ = read_openai(&bytes);
        let _ = read_gemini(&bytes, true);
        for body in [json!({"content": text}), json!({"requests": [text]}), json!({"input": [text], "dimensions": text})] {
            let _ = read_openai(body.to_string().as_bytes());
            let _ = read_gemini(body.to_string().as_bytes(), false);
            let _ = read_gemini(body.to_string().as_bytes(), true);
        }
    }
}
