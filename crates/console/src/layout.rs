//! Parts that pages are made of: the document, a page without a workspace, dialogs and icons.

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

use crate::assets::ADDRESSES;

/// An icon of the sprite that every page of a workspace carries.
pub(crate) fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" { use href=(format!("#i-{name}")) {} } }
}

/// The sprite of all icons.
pub(crate) fn icon_sprite() -> Markup {
    let symbol = |name: &str, path: &str| {
        html! {
            symbol id=(format!("i-{name}")) viewBox="0 0 16 16" fill="none" stroke="currentColor"
                stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" { path d=(path) {} }
        }
    };
    html! {
        svg.symbols aria-hidden="true" {
            (symbol("check", "M8 1.5l5.5 2v4c0 3.4-2.3 5.9-5.5 7-3.2-1.1-5.5-3.6-5.5-7v-4zM5.5 8l1.8 1.8L10.7 6.3"))
            (symbol("alert", "M8 1.8l6.5 11.7h-13zM8 6.3v3.2M8 11.6v.1"))
            (symbol("clock", "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8zM8 4.6V8l2.3 1.6"))
            (symbol("copy", "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z"))
            (symbol("tick", "M3 8.5l3.2 3.2L13 5"))
        }
    }
}

/// A whole HTML document.
pub(crate) fn document(title: &str, body: &Markup) -> Html<String> {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · keyroll" }
                link rel="icon" href=(ADDRESSES.icon) type="image/svg+xml";
                link rel="stylesheet" href=(ADDRESSES.style);
                script type="module" src=(ADDRESSES.module) {}
            }
            body { (body) }
        }
    };
    Html(document.into_string())
}

/// A page outside any workspace: sign-in, sign-out, errors.
pub(crate) fn standalone(title: &str, body: &Markup) -> Html<String> {
    let body = html! {
        main.alone {
            p.brand { span.mark aria-hidden="true" {} "keyroll" }
            div.card { (body) }
        }
    };
    document(title, &body)
}

/// A dialog over a page: a sheet at the side. `back` is the page behind it.
pub(crate) fn sheet(title: &str, back: &str, wide: bool, body: &Markup) -> Markup {
    html! {
        div.scrim {}
        dialog.sheet.wide[wide] open data-back=(back) aria-labelledby="sheet-title" {
            header {
                h2 #sheet-title tabindex="-1" { (title) }
                a.close href=(back) aria-label="Close" { "×" }
            }
            (body)
        }
    }
}

/// The end of a dialog's form: where errors appear, and the buttons.
pub(crate) fn form_end(label: &str, back: &str, danger: bool, disabled: bool) -> Markup {
    html! {
        p.error role="alert" {}
        p.buttons {
            button.main.danger[danger] type="submit" disabled[disabled] { (label) }
            a.button href=(back) { "Cancel" }
        }
    }
}

/// The dialog that lists the keyboard shortcuts.
pub(crate) fn keys_dialog() -> Markup {
    let keys = [
        ("/", "search"),
        ("n", "new secret"),
        ("j k", "next and previous row"),
        ("v", "view or hide the row's value"),
        ("c", "copy the row's name"),
        ("e", "edit"),
        ("h", "history"),
        ("?", "this list"),
        ("Esc", "close"),
    ];
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl.keys {
                @for (key, action) in keys {
                    div { dt { @for key in key.split(' ') { kbd { (key) } } } dd { (action) } }
                }
            }
            form method="dialog" { button type="submit" { "Close" } }
        }
    }
}
