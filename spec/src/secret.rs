//! Text that must not be shown, copied or left in memory.

use zeroize::Zeroizing;

/// A secret: no `Debug`, no `Display`, no `Clone`, no `Serialize`; wiped when dropped.
///
/// ```compile_fail
/// let secret = sealift_spec::secret::Secret::new("hunter2".to_owned());
/// println!("{secret:?}");
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
