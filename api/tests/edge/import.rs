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
    for (text, code) in [("", "import_header"), ("phone\n", "import_empty"), ("a,b\nx,y\n", "import_header")]
    {
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

#[tokio::test]
async fn a_corrected_error_file_imports_exactly_the_rows_it_has() {
    let house = House::open().await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let text = "name,no hp,\"=kota\nasal\"\n\
        Ana,081234567890,Solo\n\
        \"Budi, \"\"B\"\"\",+12,=1+1\n\
        Citra,081234567892,Solo,more\n\
        Dewi\n\
        Eka,,\"two\nlines\"\n";
    let import = tenant.import(text).await;
    assert_eq!(
        (&import["invalid"], &import["errors_kept"], &import["errors_left_off"]),
        (&4.into(), &4.into(), &0.into())
    );
    let path = format!("/v1/imports/{}/errors", import["id"].as_str().unwrap());
    let errors = tenant.get(&path).await;
    assert_eq!(errors.headers["content-type"], "text/csv; charset=utf-8");
    let too_short = import["problems"][0]["message"].as_str().unwrap();
    let empty = import["problems"][3]["message"].as_str().unwrap();
    let quoted = |text: String| if text.contains(',') { format!("\"{text}\"") } else { text };
    let (too_short, empty) = (quoted(format!("no hp: {too_short}")), quoted(format!("no hp: {empty}")));
    let expected = format!(
        "name,no hp,'=kota asal,kabar_row,kabar_problem\r\n\
         \"Budi, \"\"B\"\"\",'+12,'=1+1,3,{too_short}\r\n\
         Citra,081234567892,Solo,4,\"row 4 has 4 fields, the header has 3; those beyond are cut off here\"\r\n\
         Dewi,,,5,\"row 5 has 1 field, the header has 3; the missing ones are left empty here\"\r\n\
         Eka,,\"two\nlines\",6,{empty}\r\n"
    );
    assert_eq!(errors.text, expected);
    let corrected = errors.text.replace("'+12", "'+6281234567891").replace("Dewi,,", "Dewi,081234567893,");
    let again = tenant.import(&corrected).await;
    assert_eq!(
        (&again["rows_read"], &again["imported"], &again["invalid"]),
        (&4.into(), &3.into(), &1.into())
    );
    let people = tenant.get(&format!("/v1/contacts?list={}", again["id"].as_str().unwrap())).await.json();
    let shown = |contact: &Value| json!([contact["name"], contact["address"], contact["fields"]]);
    let shown: Vec<Value> = people["data"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(
        shown,
        [
            json!(["Budi, \"B\"", "+6281234567891", {"kota_asal": "=1+1"}]),
            json!(["Citra", "+6281234567892", {"kota_asal": "Solo"}]),
            json!(["Dewi", "+6281234567893", {}]),
        ]
    );
    // What is still wrong has the file's columns once, not twice.
    let rest = tenant.get(&format!("/v1/imports/{}/errors", again["id"].as_str().unwrap())).await.text;
    assert!(rest.starts_with("name,no hp,'=kota asal,kabar_row,kabar_problem\r\nEka,,"), "{rest}");
    assert_eq!(other.get(&path).await.problem(), (404, "not_found".into()));
    let none = tenant.import("phone\n+6281234567890\n").await;
    let none = tenant.get(&format!("/v1/imports/{}/errors", none["id"].as_str().unwrap())).await;
    assert_eq!((none.status, none.text.as_str()), (200, "kabar_row,kabar_problem\r\n"));
    house.running.shutdown().await;
}

#[tokio::test]
async fn every_invalid_row_of_a_long_file_is_given_back_in_order() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let mut text = "phone,note\n".to_owned();
    (0..3_000).for_each(|n| text += &format!("{},{n}\n", if n % 2 == 0 { "12" } else { "081234567890" }));
    let import = tenant.import(&text).await;
    assert_eq!((&import["errors_kept"], &import["duplicate"]), (&1_500.into(), &1_499.into()));
    let errors = tenant.get(&format!("/v1/imports/{}/errors", import["id"].as_str().unwrap())).await.text;
    let notes: Vec<String> =
        errors.lines().skip(1).map(|l| l.split(',').nth(1).unwrap().to_owned()).collect();
    let expected: Vec<String> = (0..1_500).map(|n| (n * 2).to_string()).collect();
    assert!(notes == expected, "{:?}", &notes[..notes.len().min(9)]);
    house.running.shutdown().await;
}
