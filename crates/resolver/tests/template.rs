//! The grammar of references.

use keyroll_resolver::{Segment, Template};
use proptest::prelude::*;

fn literal(text: &str) -> Segment {
    Segment::Literal(text.to_owned())
}

fn reference(name: &str, offset: usize) -> Segment {
    Segment::Reference {
        name: name.to_owned(),
        offset,
    }
}

fn parse(text: &str) -> Vec<Segment> {
    Template::parse(text).unwrap().segments().to_vec()
}

#[test]
fn references_stand_between_literals() {
    assert_eq!(parse(""), []);
    assert_eq!(parse("{{secrets.A}}"), [reference("A", 0)]);
    assert_eq!(
        parse("Bearer {{ \tsecrets.API_Key2\t }}."),
        [literal("Bearer "), reference("API_Key2", 7), literal(".")]
    );
    assert_eq!(
        parse("{{secrets.A}}{{secrets.B}}"),
        [reference("A", 0), reference("B", 13)]
    );
    assert_eq!(parse("é{{secrets.A}}"), [literal("é"), reference("A", 2)]);
    assert_eq!(
        parse("{{{secrets.A}}}"),
        [literal("{"), reference("A", 1), literal("}")]
    );
    assert_eq!(
        parse(r#"{"a":{"b":{{secrets.A}}}}"#),
        [literal(r#"{"a":{"b":"#), reference("A", 10), literal("}}")]
    );
}

#[test]
fn everything_else_passes_through() {
    for text in [
        "{{document.id}}",
        "{{ upper(secrets.A) }}",
        "{{ document.secrets.A }}",
        "{{Secrets.A}}",
        "{ {secrets.A}}",
        "{{\nsecrets.A}}",
        "secrets.A",
        "{{",
        "}}",
        "{{}}",
        "{",
        "a {{ never closed",
        "{{#each x}}…{{/each}}",
    ] {
        assert_eq!(parse(text), [literal(text)], "{text}");
    }
}

#[test]
fn the_escape_gives_braces_and_is_not_read_again() {
    assert_eq!(parse("{{'{{'}}secrets.A}}"), [literal("{{secrets.A}}")]);
    assert_eq!(
        parse("{{'{{'}}{{secrets.A}}"),
        [literal("{{"), reference("A", 8)]
    );
    let foreign = "{{ x {{'{{'}} y";
    assert_eq!(parse(foreign), [literal(foreign)]);
}

#[test]
fn what_looks_like_a_reference_must_be_one() {
    for text in [
        "{{secrets}}",
        "{{secrets.}}",
        "{{ secrets",
        "{{secrets.A",
        "{{secrets.A}",
        "{{secrets.A }",
        "{{secrets.1A}}",
        "{{secrets._A}}",
        "{{secrets.A-B}}",
        "{{secrets.A.B}}",
        "{{secrets.A|upper}}",
        "{{secrets.A@2}}",
        "{{secrets['A']}}",
        "{{secrets .A}}",
        "{{secrets. A}}",
        "{{secrets.Ä}}",
        "{{secrets.{{secrets.A}}}}",
        "{{ x {{secrets.A}} }}",
        "{{ unclosed, then {{secrets.A}}",
    ] {
        let error = Template::parse(text).unwrap_err();
        assert_eq!(error.code(), "template_syntax", "{text}");
    }
    let name = |len: usize| format!("{{{{secrets.{}}}}}", "a".repeat(len));
    assert!(Template::parse(&name(128)).is_ok());
    assert_eq!(
        Template::parse(&name(129)).unwrap_err().code(),
        "template_syntax"
    );
}

#[test]
fn errors_say_where() {
    let error = Template::parse("one\ntwö {{ secrets }}").unwrap_err();
    assert_eq!(error.offset(), Some(9));
    assert_eq!(error.line_column(), Some((2, 5)));
    assert!(
        error.to_string().contains("offset 9, line 2 column 5"),
        "{error}"
    );
}

#[test]
fn a_string_has_a_limit() {
    assert!(Template::parse(&"{".repeat(1 << 20)).is_ok());
    let error = Template::parse(&"{".repeat((1 << 20) + 1)).unwrap_err();
    assert_eq!(error.code(), "block_invalid");
}

/// Parts of templates, for every order.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let piece = prop::sample::select(vec![
        "{{",
        "}}",
        "{",
        "}",
        "'",
        "{{'{{'}}",
        "secrets",
        ".",
        "A",
        " ",
        "\t",
        "é",
        "{{secrets.A}}",
    ]);
    prop::collection::vec(piece, 0..20)
}

proptest! {
    #[test]
    fn segments_cover_the_text(pieces in pieces()) {
        let text = pieces.concat();
        let Ok(template) = Template::parse(&text) else { return Ok(()) };
        let mut seen = 0;
        for segment in template.segments() {
            match segment {
                // Only the escape changes the length of a literal, and it shortens it.
                Segment::Literal(literal) => prop_assert!(literal.len() <= text.len()),
                Segment::Reference { name, offset } => {
                    prop_assert!(*offset >= seen);
                    prop_assert!(text[*offset..].starts_with("{{"));
                    prop_assert_eq!(name, "A");
                    seen = offset + 2;
                }
            }
        }
        if !text.contains("{{'{{'}}") && template.references().next().is_none() {
            let literal: Vec<Segment> =
                (!text.is_empty()).then(|| literal(&text)).into_iter().collect();
            prop_assert_eq!(template.segments(), literal.as_slice());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = Template::parse(&text);
    }
}
