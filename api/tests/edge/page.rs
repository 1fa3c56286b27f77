//! Lists: pages by keyset, the same things in the same order as one by one.

use super::house::{House, OPERATOR, Tenant, sandbox};
use serde_json::{Value, json};

/// All ids of a list, asked `limit` at a time.
async fn walk(tenant: &Tenant<'_>, path: &str, limit: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let page = tenant.get(&format!("{path}?limit={limit}&after={after}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit, "{path}");
        ids.extend(data.iter().map(|thing| thing["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn a_list_read_page_by_page_is_the_list_read_at_once() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("Toko Ana").await;
    let mut apps = Vec::new();
    for nth in 0..5 {
        let app = json!({"app_secrets": [format!("secret-{nth}")], "verify_token": "t"});
        apps.push(tenant.call("POST /v1/apps", app).await.id());
        let name = json!({"name": format!("key {nth}")});
        assert_eq!(tenant.call("POST /v1/keys", name).await.status, 201);
        tenant.import(&format!("name,phone\nAna,08123456789{nth}\n")).await;
    }
    let session = tenant.link(&sandbox).await;
    let listed = tenant.get("/v1/apps").await.json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(6));
    assert!(apps.iter().all(|id| listed.to_string().contains(id)));
    assert!(!listed.to_string().contains("secret-"), "a secret comes out again");
    assert_eq!(tenant.get("/v1/imports").await.json()["data"].as_array().map(Vec::len), Some(5));
    assert_eq!(tenant.get("/v1/sessions").await.json()["data"][0]["id"], session.as_str());
    for path in ["/v1/apps", "/v1/keys", "/v1/imports", "/v1/sessions"] {
        let whole = walk(&tenant, path, 200).await;
        assert_eq!(walk(&tenant, path, 2).await, whole, "{path}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn the_operator_reads_each_tenant_it_lists() {
    let house = House::open().await;
    let operator = format!("Bearer {OPERATOR}");
    let headers = [("authorization", operator.as_str())];
    let mut made = Vec::new();
    for name in ["Toko Ana", "Toko Budi", "Toko Citra"] {
        made.push(house.call("POST /v1/tenants", &headers, json!({"name": name}).to_string()).await.id());
    }
    let listed = house.call("GET /v1/tenants?limit=200", &headers, "").await.json();
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap()).collect();
    assert!(made.iter().all(|id| ids.contains(&id.as_str())), "{ids:?}");
    for (place, id) in ids.iter().enumerate() {
        let one: Value = house.call(&format!("GET /v1/tenants/{id}"), &headers, "").await.json();
        assert_eq!(one, listed["data"][place]);
    }
    house.running.shutdown().await;
}
