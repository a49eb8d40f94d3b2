//! Organization, teams and projects as their members read them.

use super::Plane;

#[tokio::test]
async fn an_organization_reads_itself_with_its_teams_and_projects() {
    let plane = Plane::new();
    let mut golden = String::new();
    for path in [
        "/api/organization",
        "/api/teams",
        "/api/projects",
        "/api/projects?page=2&limit=1",
    ] {
        let got = plane.get(path).await.fine(200);
        golden.push_str(&format!(
            "{path}\n{}\n\n",
            serde_json::to_string_pretty(&got).expect("JSON")
        ));
    }
    assert!(!golden.contains("globex"));
    insta::assert_snapshot!(golden);
}
