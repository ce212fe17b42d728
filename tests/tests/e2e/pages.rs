//! Lists longer than a page, as the program prints them.

use std::fmt::Write as _;

use keyroll_tests::harness::Dev;

/// More rows than fit the pages that the program keeps while it looks for the first one.
const MANY: usize = 5_500;

#[test]
fn a_log_of_many_pages_is_printed_whole_and_in_order() {
    let dev = Dev::start();
    let text = (0..MANY).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "KEY_{at}=v");
        text
    });
    let file = dev.home().write("many.env", text);
    dev.import_many(&file);
    let everything = ["audit", "log", "--limit", "1000000"];
    let rows = dev.keyroll(everything).arg("--json").run().code(0).rows();
    let indexes: Vec<u64> = rows
        .iter()
        .filter_map(|row| row["index"].as_u64())
        .collect();
    assert!(indexes.is_sorted());
    let made = rows.iter().filter(|row| row["type"] == "secret.created");
    let names: Vec<&str> = made
        .filter_map(|row| row["secrets"][0]["name"].as_str())
        .collect();
    let expected = (0..MANY).map(|at| format!("KEY_{at}"));
    assert!(names.into_iter().eq(expected));

    // The newest ones, even if that ends within an entry.
    let limit = (MANY - 777).to_string();
    let newest = dev.keyroll(["audit", "log", "--json", "--limit", &limit]);
    assert_eq!(
        newest.run().code(0).rows(),
        rows[rows.len() - (MANY - 777)..]
    );

    let table = dev.keyroll(everything).run().code(0).text();
    assert_eq!(table.lines().count(), rows.len() + 1);
    assert_eq!(table.matches("INDEX").count(), 1);

    let listed = dev.keyroll(["secret", "list", "--json"]).run().code(0);
    assert_eq!(listed.rows().len(), MANY);
}
