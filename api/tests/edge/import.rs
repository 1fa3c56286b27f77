//! Contact files before and after their import: what a preview says of them, and what is given back of their rows.

use super::house::{Answer, House, Tenant};
use serde_json::{Value, json};

/// Sends a file as it is.
async fn file(house: &House, tenant: &Tenant<'_>, what: &str, text: &str) -> Answer {
    let bearer = format!("Bearer {}", tenant.key);
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/csv")];
    house.call(what, &headers, text.to_owned()).await
}

fn column(preview: &Value, at: usize) -> Value {
    let column = &preview["columns"][at];
    json!([column["name"], column["becomes"], column["variable"], column["confidence"]])
}

#[tokio::test]
async fn a_preview_tells_what_an_import_would_do_and_stores_nothing() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let text = "Kota;Nama;kontak;TZ;berhenti\n\
        Solo;Ana;0812-3456-7890;WIB;no\n\
        Medan;Budi;+62 812 3456 7890;Nowhere;perhaps\n\
        Medan;12;12;Nowhere;yes\n";
    let what = "POST /v1/contacts/import/preview?default_region=ID&opted_out_column=BERHENTI";
    let answer = file(&house, &tenant, what, text).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let preview = answer.json();
    assert_eq!((&preview["encoding"], &preview["delimiter"]), (&json!("UTF-8"), &json!(";")));
    assert_eq!(column(&preview, 0), json!(["Kota", "field", "kota", 1.0]));
    assert_eq!(column(&preview, 1), json!(["Nama", "name", "nama", 0.9]));
    // Two of three values are numbers; nothing in the name says so.
    assert_eq!(column(&preview, 2), json!(["kontak", "phone", null, 0.67]));
    // One of three values is a zone: the name alone is not believed.
    assert_eq!(column(&preview, 3), json!(["TZ", "zone", null, 0.3]));
    assert_eq!(column(&preview, 4), json!(["berhenti", "opted_out", null, 1.0]));
    assert_eq!(preview["columns"][2]["why"], "by its content: 2 of 3 values read as a phone number");
    let rows = preview["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["values"], json!(["Solo", "Ana", "0812-3456-7890", "WIB", "no"]));
    assert_eq!(
        json!([rows[0]["row"], rows[0]["address"], rows[0]["name"], rows[0]["outcome"], rows[0]["problem"]]),
        json!([2, "+6281234567890", "Ana", "valid", null])
    );
    assert_eq!(rows[0]["zone"], json!({"name": "Asia/Jakarta", "source": "contact"}));
    assert_eq!((&rows[1]["outcome"], &rows[1]["zone"]["source"]), (&json!("duplicate"), &json!("number")));
    assert_eq!(rows[1]["problem"]["code"], "unknown_zone");
    assert_eq!((&rows[2]["outcome"], &rows[2]["address"]), (&json!("invalid"), &Value::Null));
    assert_eq!(rows[2]["problem"]["code"], "too_short");
    for list in ["/v1/contacts", "/v1/imports"] {
        assert_eq!(tenant.get(list).await.json()["data"], json!([]), "{list}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_preview_reads_no_further_than_its_rows_and_refuses_as_an_import_does() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let what = "POST /v1/contacts/import/preview?default_region=ID";
    let mut long = "phone,note\n".to_owned();
    (0..400_000).for_each(|n| long += &format!("0812{n:08},abcdefghij\n"));
    // What is wrong behind the first rows is not seen.
    long += "\"";
    let answer = file(&house, &tenant, what, &long).await;
    assert_eq!((answer.status, answer.json()["rows"].as_array().unwrap().len()), (200, 50));
    for (text, code) in [("", "import_header"), ("phone\n", "import_empty"), ("a,b\nx,y\n", "import_header")] {
        assert_eq!(file(&house, &tenant, what, text).await.problem(), (422, code.into()), "{text}");
    }
    let what = "POST /v1/contacts/import/preview?phone_column=no%0Ahp";
    assert_eq!(file(&house, &tenant, what, "\"no\nhp\"\n+6281234567890\n").await.status, 200);
    let refused = file(&house, &tenant, what, "\"tele\u{7}fon\"\n1\n").await;
    assert_eq!(
        refused.json()["detail"],
        "The file has no column `no hp`: name one of `tele fon`.",
        "{refused:?}"
    );
    house.running.shutdown().await;
}
