//! Named references of HTML.

/// The character of a named reference (HTML, section 13.5), without `&` and `;`: those up to U+00FF,
/// which include the five of XML.
pub(super) fn named(name: &[u8]) -> Option<char> {
    let at = NAMED.binary_search_by(|(known, _)| known.as_bytes().cmp(name));
    at.ok().map(|at| char::from(NAMED[at].1))
}

/// Sorted by name.
#[rustfmt::skip]
const NAMED: &[(&str, u8)] = &[
    ("AElig", 0xc6), ("AMP", 0x26), ("Aacute", 0xc1), ("Acirc", 0xc2), ("Agrave", 0xc0), ("Aring", 0xc5),
    ("Atilde", 0xc3), ("Auml", 0xc4), ("COPY", 0xa9), ("Ccedil", 0xc7), ("Cedilla", 0xb8),
    ("CenterDot", 0xb7), ("DiacriticalAcute", 0xb4), ("DiacriticalGrave", 0x60), ("Dot", 0xa8),
    ("DoubleDot", 0xa8), ("ETH", 0xd0), ("Eacute", 0xc9), ("Ecirc", 0xca), ("Egrave", 0xc8), ("Euml", 0xcb),
    ("GT", 0x3e), ("Hat", 0x5e), ("Iacute", 0xcd), ("Icirc", 0xce), ("Igrave", 0xcc), ("Iuml", 0xcf),
    ("LT", 0x3c), ("NewLine", 0x0a), ("NonBreakingSpace", 0xa0), ("Ntilde", 0xd1), ("Oacute", 0xd3),
    ("Ocirc", 0xd4), ("Ograve", 0xd2), ("Oslash", 0xd8), ("Otilde", 0xd5), ("Ouml", 0xd6),
    ("PlusMinus", 0xb1), ("QUOT", 0x22), ("REG", 0xae), ("THORN", 0xde), ("Tab", 0x09), ("Uacute", 0xda),
    ("Ucirc", 0xdb), ("Ugrave", 0xd9), ("UnderBar", 0x5f), ("Uuml", 0xdc), ("VerticalLine", 0x7c),
    ("Yacute", 0xdd), ("aacute", 0xe1), ("acirc", 0xe2), ("acute", 0xb4), ("aelig", 0xe6), ("agrave", 0xe0),
    ("amp", 0x26), ("angst", 0xc5), ("apos", 0x27), ("aring", 0xe5), ("ast", 0x2a), ("atilde", 0xe3),
    ("auml", 0xe4), ("brvbar", 0xa6), ("bsol", 0x5c), ("ccedil", 0xe7), ("cedil", 0xb8), ("cent", 0xa2),
    ("centerdot", 0xb7), ("circledR", 0xae), ("colon", 0x3a), ("comma", 0x2c), ("commat", 0x40),
    ("copy", 0xa9), ("curren", 0xa4), ("deg", 0xb0), ("die", 0xa8), ("div", 0xf7), ("divide", 0xf7),
    ("dollar", 0x24), ("eacute", 0xe9), ("ecirc", 0xea), ("egrave", 0xe8), ("equals", 0x3d), ("eth", 0xf0),
    ("euml", 0xeb), ("excl", 0x21), ("frac12", 0xbd), ("frac14", 0xbc), ("frac34", 0xbe), ("grave", 0x60),
    ("gt", 0x3e), ("half", 0xbd), ("iacute", 0xed), ("icirc", 0xee), ("iexcl", 0xa1), ("igrave", 0xec),
    ("iquest", 0xbf), ("iuml", 0xef), ("laquo", 0xab), ("lbrace", 0x7b), ("lbrack", 0x5b), ("lcub", 0x7b),
    ("lowbar", 0x5f), ("lpar", 0x28), ("lsqb", 0x5b), ("lt", 0x3c), ("macr", 0xaf), ("micro", 0xb5),
    ("midast", 0x2a), ("middot", 0xb7), ("nbsp", 0xa0), ("not", 0xac), ("ntilde", 0xf1), ("num", 0x23),
    ("oacute", 0xf3), ("ocirc", 0xf4), ("ograve", 0xf2), ("ordf", 0xaa), ("ordm", 0xba), ("oslash", 0xf8),
    ("otilde", 0xf5), ("ouml", 0xf6), ("para", 0xb6), ("percnt", 0x25), ("period", 0x2e), ("plus", 0x2b),
    ("plusmn", 0xb1), ("pm", 0xb1), ("pound", 0xa3), ("quest", 0x3f), ("quot", 0x22), ("raquo", 0xbb),
    ("rbrace", 0x7d), ("rbrack", 0x5d), ("rcub", 0x7d), ("reg", 0xae), ("rpar", 0x29), ("rsqb", 0x5d),
    ("sect", 0xa7), ("semi", 0x3b), ("shy", 0xad), ("sol", 0x2f), ("strns", 0xaf), ("sup1", 0xb9),
    ("sup2", 0xb2), ("sup3", 0xb3), ("szlig", 0xdf), ("thorn", 0xfe), ("times", 0xd7), ("uacute", 0xfa),
    ("ucirc", 0xfb), ("ugrave", 0xf9), ("uml", 0xa8), ("uuml", 0xfc), ("verbar", 0x7c), ("vert", 0x7c),
    ("yacute", 0xfd), ("yen", 0xa5), ("yuml", 0xff),
];
