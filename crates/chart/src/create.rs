//! `helm create`: a chart to start from.

use crate::{Error, File};

/// The files of the chart, with this in place of its name.
const PLACEHOLDER: &str = "<CHARTNAME>";
const LONGEST_NAME: usize = 250;

macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("create/", $path)))
    };
}

const FILES: &[(&str, &str)] = &[
    file!("Chart.yaml"),
    file!("values.yaml"),
    file!(".helmignore"),
    file!("templates/ingress.yaml"),
    file!("templates/httproute.yaml"),
    file!("templates/deployment.yaml"),
    file!("templates/service.yaml"),
    file!("templates/serviceaccount.yaml"),
    file!("templates/hpa.yaml"),
    file!("templates/NOTES.txt"),
    file!("templates/_helpers.tpl"),
    file!("templates/tests/test-connection.yaml"),
];

/// The files of a new chart of this name, by their paths below its directory. An empty `charts/` belongs to it as well.
///
/// Errors: [`Error::Argument`] when the name is empty, too long or holds other characters than letters, digits, `.`, `_`
/// and `-`.
pub fn files(name: &str) -> Result<Vec<File>, Error> {
    check_name(name)?;
    Ok(FILES.iter().map(|(path, text)| File::new(*path, text.replace(PLACEHOLDER, name))).collect())
}

/// Turns the files of a starter into those of a chart of this name: the name is put in place of `<CHARTNAME>` everywhere.
///
/// Errors: as [`files`].
pub fn from_starter(starter: &[File], name: &str) -> Result<Vec<File>, Error> {
    check_name(name)?;
    let named = |file: &File| match std::str::from_utf8(&file.data) {
        Ok(text) => File::new(file.name.as_str(), text.replace(PLACEHOLDER, name)),
        Err(_) => file.clone(),
    };
    Ok(starter.iter().map(named).collect())
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Error::Argument(format!("chart name must be between 1 and {LONGEST_NAME} characters")));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if !name.chars().all(allowed) {
        return Err(Error::Argument("chart name must match the regular expression \"^[a-zA-Z0-9._-]+$\"".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chart, Log, load};

    fn created() -> Chart {
        load::files(files("my-app").expect("files"), &mut Log::default()).expect("chart")
    }

    #[test]
    fn names() {
        assert!(files("a/b").is_err() && files("").is_err() && files(&"x".repeat(251)).is_err());
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let chart = created();
        assert_eq!((chart.name(), chart.templates.len()), ("my-app", 9));
        assert!(chart.raw.iter().all(|file| !file.text().contains(PLACEHOLDER)));
    }
}
