//! What a budget says of its current period: when it began, when it ends, what was spent.

use super::*;

#[tokio::test]
async fn periods_follow_the_window_the_anchor_and_resets() {
    let plane = Plane::new();
    let month = [
        (
            "2026-01-31T09:00:00Z",
            "2026-10-31T09:00:00.000Z",
            "2026-11-30T09:00:00.000Z",
        ),
        (
            "2027-01-31T10:00:00+01:00",
            "2027-01-31T09:00:00.000Z",
            "2027-01-31T09:00:00.000Z",
        ),
    ];
    let key = id_of(&mint(&plane, json!({})).await);
    spend(
        &plane,
        &key,
        &project("acme", "governance"),
        None,
        "3",
        -HOUR,
    );
    for (anchor, start, end) in month {
        let (path, budget) = create(&plane, json!({ "cycle_anchor_at": anchor })).await;
        let ahead = anchor.starts_with("2027");
        let spent = if ahead { "0" } else { "3" };
        assert_eq!(
            (
                &budget["current_period_started_at"],
                &budget["resets_at"],
                &budget["spent_usd"]
            ),
            (&json!(start), &json!(end), &json!(spent))
        );
        plane.clock.set(NOW.plus_micros(5));
        let reset = plane
            .post(&format!("{path}/reset"), json!({}))
            .await
            .fine(200);
        let reset = &reset["budget"];
        plane.clock.set(NOW);
        let expected = if ahead {
            start
        } else {
            "2026-11-23T14:00:00.000Z"
        };
        assert_eq!(
            (
                &reset["current_period_started_at"],
                &reset["resets_at"],
                &reset["spent_usd"]
            ),
            (&json!(expected), &json!(end), &json!("0"))
        );
    }
    for window in ["total", "manual"] {
        let wish = json!({ "window": window, "cycle_anchor_at": "2026-01-31T09:00:00Z" });
        let got = plane.post(BUDGETS, body(wish)).await;
        assert_eq!(
            got.code(),
            (400, "gateway_budget_cycle_anchor_invalid".into())
        );
        assert_eq!(got.json()["error"]["meta"], json!({ "window": window }));
        let wish = json!({ "window": window, "cycle_anchor_at": null });
        let (_, budget) = create(&plane, wish).await;
        let spent = if window == "total" { "3" } else { "0" };
        assert_eq!(
            (&budget["resets_at"], &budget["spent_usd"]),
            (&json!("9999-12-31T00:00:00.000Z"), &json!(spent))
        );
    }
    for anchor in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"] {
        for window in ["minute", "hour", "day", "week", "month"] {
            let wish = json!({ "window": window, "cycle_anchor_at": anchor });
            let (path, _) = create(&plane, wish).await;
            plane
                .post(&format!("{path}/reset"), json!({}))
                .await
                .fine(200);
        }
    }
    let (path, _) = create(&plane, json!({ "window": "hour" })).await;
    plane.clock.set(NOW.plus_micros(HOUR * 30));
    let read = plane.get(&path).await.fine(200);
    assert_eq!(read["budget"]["resets_at"], "2026-11-24T21:00:00.000Z");
}

#[tokio::test]
async fn a_new_budget_begins_with_what_counts_toward_its_target() {
    let plane = Plane::new();
    plane.further_team("acme", "second");
    let anna = plane.member("acme", "anna", MemberRole::Member);
    let otto = plane.member("acme", "otto", MemberRole::Member);
    plane.in_team("acme", "second", &anna, BoundRole::Member);
    let both = group(&plane, "both", &[&anna, &otto]);
    let scoped = |kind: &str, id: &str| json!([{ "scope_type": kind, "scope_id": id }]);
    let free = id_of(&mint(&plane, json!({})).await);
    let of_team = json!({ "scopes": scoped("team", "second"), "trace_project_id": "default" });
    let of_team = id_of(&mint(&plane, of_team).await);
    let of_anna = id_of(&mint(&plane, json!({ "principal_user_id": anna })).await);
    let of_otto = id_of(&mint(&plane, json!({ "principal_user_id": otto })).await);
    let (governance, default) = (project("acme", "governance"), project("acme", "default"));
    let month = -20 * 24 * HOUR;
    for (key, filed, provider, usd, at) in [
        (&free, &governance, Some("mp_b"), "1", month),
        (&free, &governance, Some("mp_b"), "20", -HOUR),
        (&of_team, &default, None, "300", -HOUR),
        (&of_anna, &governance, None, "4000", -HOUR),
        (&of_otto, &governance, None, "50000.25", -HOUR),
        (&free, &governance, None, "600000", 10 * month),
    ] {
        spend(&plane, key, filed, provider, usd, at);
    }
    let spent = async |scope: Value, more: Value| {
        let mut wish = json!({ "scope": scope });
        let map = wish.as_object_mut().expect("an object");
        map.extend(more.as_object().expect("an object").clone());
        create(&plane, wish).await.1["spent_usd"].clone()
    };
    let org = json!({ "kind": "organization", "organization_id": "acme" });
    let month = json!({});
    assert_eq!(spent(org.clone(), month.clone()).await, "54321.25");
    assert_eq!(
        spent(org.clone(), json!({ "window": "day" })).await,
        "54320.25"
    );
    assert_eq!(
        spent(org.clone(), json!({ "window": "total" })).await,
        "654321.25"
    );
    assert_eq!(spent(org.clone(), json!({ "window": "minute" })).await, "0");
    let scope = json!({ "kind": "virtual_key", "virtual_key_id": free });
    assert_eq!(spent(scope, month.clone()).await, "21");
    let scope = json!({ "kind": "project", "project_id": "default" });
    assert_eq!(spent(scope, month.clone()).await, "300");
    let scope = json!({ "kind": "principal", "principal_user_id": anna });
    assert_eq!(spent(scope, month.clone()).await, "4000");
    let scope = json!({ "kind": "group", "group_id": both });
    assert_eq!(spent(scope, month.clone()).await, "54000.25");
    // The team's own key, and anna's, whose key names no team.
    let scope = json!({ "kind": "team", "team_id": "second" });
    assert_eq!(spent(scope, month.clone()).await, "4300");
    let scope = json!({ "kind": "team", "team_id": "default" });
    assert_eq!(spent(scope, month).await, "300");

    let provider = json!(provider(
        &plane,
        "a",
        scope_of("acme", "organization", "acme")
    ));
    let id = provider.as_str().expect("an id");
    spend(&plane, &free, &governance, Some(id), "7", -HOUR);
    assert_eq!(spent(org, json!({ "provider_key": provider })).await, "7");
}

#[tokio::test]
async fn the_boundaries_of_what_json_holds_are_null_and_the_text_still_says_them() {
    let plane = Plane::new();
    let (_, budget) = create(&plane, json!({ "limit_usd": "9007199.254740" })).await;
    assert_eq!(budget["limit_nano_usd"], json!(9_007_199_254_740_000_i64));
    let (_, budget) = create(&plane, json!({ "limit_usd": "9007199.254741" })).await;
    assert_eq!(
        (&budget["limit_nano_usd"], &budget["limit_usd"]),
        (&json!(null), &json!("9007199.254741"))
    );
}

#[tokio::test]
async fn an_end_users_period_is_reset_alone_and_with_all_others() {
    let plane = Plane::new();
    let key = id_of(&mint(&plane, json!({})).await);
    let provider = json!(provider(
        &plane,
        "a",
        scope_of("acme", "organization", "acme")
    ));
    let scope = json!({ "kind": "attributed_user", "anchor_virtual_key_id": key });
    let (plain, budget) = create(&plane, json!({ "scope": scope.clone() })).await;
    let wish = json!({ "scope": scope, "provider_key": provider });
    let (filtered, of_provider) = create(&plane, wish).await;
    plane.announced();
    let boundary = |budget: &Value, bucket: &str| {
        let id = lw_core::BudgetId::parse(budget["id"].as_str().expect("an id")).expect("one");
        plane.store.bucket_boundary(&id, bucket).expect("reads")
    };
    for (path, budget, bucket) in [
        (&plain, &budget, format!("{key}:a:b|c")),
        (
            &filtered,
            &of_provider,
            format!("{key}:a:b|c|provider:{}", provider.as_str().expect("an id")),
        ),
    ] {
        let reset = format!("{path}/reset?end_user_id=a%3Ab%7Cc");
        let got = plane.post(&reset, json!({ "reason": "asked" })).await;
        assert_eq!(got.header("etag"), Some("\"1\""), "nothing else moves");
        let got = got.fine(200);
        assert_eq!(got["budget"]["last_reset_at"], json!(null));
        assert_eq!(boundary(budget, &bucket), Some(NOW));
        assert_eq!(plane.announced(), ["BUDGET_UPDATED"]);
        let audit = plane.audit();
        let args = audit.iter().filter_map(|row| row.args.as_deref());
        let args: Vec<Value> = args
            .map(|text| serde_json::from_str(text).expect("JSON"))
            .collect();
        let expected = json!({ "reason": "asked", "bucket_id": bucket });
        assert!(args.contains(&expected), "{args:?}");

        plane
            .post(&format!("{path}/reset"), json!({}))
            .await
            .fine(200);
        assert_eq!(boundary(budget, &bucket), None);
        plane.announced();
    }
    let stale = [("if-match", "\"1\"")];
    let reset = format!("{plain}/reset?end_user_id=u");
    let got = plane
        .call_with(&plane.acme, Method::POST, &reset, &stale, None)
        .await;
    assert_eq!(got.code(), (409, "revision_conflict".into()));
    for empty in ["", "%20"] {
        let reset = format!("{plain}/reset?end_user_id={empty}");
        let got = plane.post(&reset, json!({})).await;
        assert_eq!(got.code(), (400, "validation_error".into()));
    }
    let (whole, _) = create(&plane, json!({})).await;
    let got = plane
        .post(&format!("{whole}/reset?end_user_id=u"), json!({}))
        .await;
    assert_eq!(got.code(), (400, "gateway_scope_org_mismatch".into()));
}
