//! Unions that later versions extend. A variant that this program does not know is not malformed:
//! it wants an upgrade.

/// Declares a union: an enum with one content for each variant, encoded as `{"variant": content}`.
/// An unknown variant is refused with [`crate::Code::UpgradeNeeded`].
macro_rules! union {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$of:meta])* $variant:ident($content:ty) = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
        pub enum $name {
            $($(#[$of])* #[serde(rename = $text)] $variant($content),)*
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Variants;

                impl<'de> serde::de::Visitor<'de> for Variants {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, data: A) -> Result<$name, A::Error> {
                        let (name, content) = data.variant::<String>()?;
                        match name.as_str() {
                            $($text => serde::de::VariantAccess::newtype_variant(content).map($name::$variant),)*
                            _ => Err(crate::union::unknown($what, &name)),
                        }
                    }
                }

                deserializer.deserialize_enum(stringify!($name), &[$($text),*], Variants)
            }
        }
    };
}
pub(crate) use union;

/// The mark of an error that wants an upgrade; `cbor` turns it into the code.
pub(crate) const UPGRADE: &str = "upgrade_needed: ";

/// The error for a variant that this program does not know.
pub(crate) fn unknown<E: serde::de::Error>(what: &str, variant: &str) -> E {
    let shown: String = variant.chars().take(40).collect();
    E::custom(format!(
        "{UPGRADE}this program knows no {what} of the kind {shown:?}: upgrade keyroll"
    ))
}
