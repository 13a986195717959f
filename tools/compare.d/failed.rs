//! The one error of this program: a sentence for the row of the contestant that failed.

/// Why a contestant or a preparation failed, ready to be printed.
#[derive(Clone, Debug)]
pub struct Failed(pub String);

/// What every fallible step here returns.
pub type Outcome<T> = Result<T, Failed>;

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Fails with a sentence.
pub fn fail<T>(sentence: impl Into<String>) -> Outcome<T> {
    Err(Failed(sentence.into()))
}
