use super::*;
use crate::group::Group;
use crate::models::LearnedProximalGradientConfig;

const MINIMAL: &str = r#"
[problem.operator]
kind = "ray_transform"
image_size = 32
[data]
train = "train.npy"
"#;

fn parse(text: &str, overrides: &[&str]) -> Result<TrainConfig> {
    let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
    TrainConfig::parse(Path::new("/configs/ct.toml"), text, &overrides)
}

#[test]
fn defaults_are_the_papers() {
    let config = parse(MINIMAL, &[]).expect("valid");
    let OptimiserConfig::Adam(adam) = &config.optimiser;
    assert_eq!(
        (adam.learning_rate, adam.beta1, adam.beta2, adam.epsilon),
        (1e-4, 0.9, 0.999, 1e-8)
    );
    assert_eq!((config.training.steps, config.training.batch), (100_000, 1));
    let ModelConfig::LearnedProximalGradient(model) = &config.model else {
        panic!("another model");
    };
    assert_eq!(
        (model.group, model.width, model.blocks, model.memory),
        (Group::cyclic(4), 96, 8, 5)
    );
    assert_eq!(
        config.data.train.as_deref(),
        Some(Path::new("/configs/train.npy"))
    );
}

#[test]
fn a_resolved_config_reads_back_the_same() {
    let config = parse(
        MINIMAL,
        &[
            "optimiser.kind=adam",
            "optimiser.clip_norm=0.5",
            "data.validation=v.npy",
        ],
    )
    .expect("valid");
    let text = config.to_toml().expect("written");
    let again = TrainConfig::parse(Path::new("/elsewhere/config.toml"), &text, &[]);
    assert_eq!(again.expect("valid"), config);
    for key in [
        "detector_bins",
        "learning_rate",
        "width",
        "log_every",
        "clip_norm",
    ] {
        assert!(text.contains(key), "{key} in {text}");
    }
}

#[test]
fn overrides_are_toml_values_or_plain_text() {
    let config = parse(
        MINIMAL,
        &[
            "training.steps=7",
            "model.kind=learned_proximal_gradient",
            "model.group=C1",
            "optimiser = { kind = \"adam\", learning_rate = 2e-3 }",
        ],
    )
    .expect("valid");
    assert_eq!(config.training.steps, 7);
    let ModelConfig::LearnedProximalGradient(model) = &config.model else {
        panic!("another model");
    };
    assert_eq!(model.group, Group::cyclic(1));
    let OptimiserConfig::Adam(adam) = &config.optimiser;
    assert_eq!(adam.learning_rate, 2e-3);
    for (text, word) in [
        ("training.steps", "no '='"),
        ("data.train.deep=1", "'train' is not a section"),
        ("training.stepz=1", "nearest known one is `steps`"),
    ] {
        let error = parse(MINIMAL, &[text]).expect_err("refused").to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_problem_may_stand_in_its_own_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("train.toml");
    let problem = "[operator]\nkind = \"ray_transform\"\nimage_size = 32\n";
    std::fs::write(directory.path().join("ct.toml"), problem).expect("written");
    let text = "[problem]\nfile = \"ct.toml\"\n[data]\ntrain = \"train.npy\"\n";
    let config = TrainConfig::parse(&path, text, &[]).expect("valid");
    let inline = parse(MINIMAL, &[]).expect("valid");
    assert_eq!(config.problem, inline.problem);
    assert_eq!(config.data.train, Some(directory.path().join("train.npy")));
    let text = text.replace("ct.toml", "missing.toml");
    let error = TrainConfig::parse(&path, &text, &[]).expect_err("refused");
    assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("missing.toml"));
}

#[test]
fn every_bad_number_is_a_typed_error_that_names_its_key() {
    for (section, line, words) in [
        (
            "optimiser",
            "learning_rate = 0.0",
            "optimiser.learning_rate = 0",
        ),
        (
            "optimiser",
            "learning_rate = nan",
            "optimiser.learning_rate = NaN",
        ),
        (
            "optimiser",
            "learning_rate = -1",
            "optimiser.learning_rate = -1",
        ),
        ("optimiser", "epsilon = inf", "optimiser.epsilon = inf"),
        ("optimiser", "clip_norm = 0", "optimiser.clip_norm = 0"),
        ("optimiser", "beta1 = 1.0", "optimiser.beta1 = 1"),
        ("optimiser", "beta2 = -0.1", "optimiser.beta2 = -0.1"),
        (
            "optimiser",
            "schedule = \"cosin\"",
            "nearest known one is `cosine`",
        ),
        ("training", "steps = 0", "training.steps = 0"),
        ("training", "steps = -1", "training.steps"),
        ("training", "batch = 0", "training.batch = 0"),
        ("training", "log_every = 0", "training.log_every = 0"),
        (
            "training",
            "validate_every = 0",
            "training.validate_every = 0",
        ),
        (
            "training",
            "checkpoint_every = 0",
            "training.checkpoint_every = 0",
        ),
        ("training", "batch_size = 1", "nearest known one is `batch`"),
        (
            "loss",
            "kind = \"supervized\"",
            "nearest known one is `supervised`",
        ),
        ("loss", "wieght = 1", "nearest known one is `weight`"),
        ("loss", "weight = 0", "loss[0].weight = 0"),
        ("model", "widht = 3", "nearest known one is `width`"),
        ("model", "kind = \"resnet\"", "`unet`"),
    ] {
        let kind = match section {
            _ if line.starts_with("kind") => "",
            "optimiser" => "kind = \"adam\"\n",
            "loss" => "kind = \"supervised\"\n",
            "model" => "kind = \"learned_proximal_gradient\"\n",
            _ => "",
        };
        let header = match section {
            "loss" => "[[loss]]".to_string(),
            section => format!("[{section}]"),
        };
        let text = format!("{MINIMAL}{header}\n{kind}{line}\n");
        let error = parse(&text, &[]).expect_err(line);
        assert!(matches!(error, Error::Config(_)), "{error}");
        let error = error.to_string();
        assert!(error.contains(words), "{line}: {error}");
        assert!(error.contains("ct.toml"), "{line}: {error}");
    }
}

#[test]
fn the_cosine_falls_from_the_full_step_to_nearly_none() {
    let adam = AdamConfig {
        learning_rate: 2.0,
        schedule: Schedule::Cosine,
        ..AdamConfig::default()
    };
    assert_eq!(adam.learning_rate(1, 100), 2.0);
    assert!((adam.learning_rate(51, 100) - 1.0).abs() < 1e-12);
    let last = adam.learning_rate(100, 100);
    assert!(last > 0.0 && last < 1e-3, "{last}");
}

#[test]
fn networks_differ_in_what_they_compute_not_in_how() {
    let spec = ModelSpec {
        config: ModelConfig::default(),
        channels: 1,
        size: None,
        measurement_channels: 1,
        closed_views: true,
        operator_norm: 1.0,
    };
    let with = |change: fn(&mut LearnedProximalGradientConfig)| {
        let mut config = LearnedProximalGradientConfig::default();
        change(&mut config);
        ModelSpec {
            config: ModelConfig::LearnedProximalGradient(config),
            ..spec.clone()
        }
    };
    assert_eq!(spec.difference(&with(|c| c.recompute = true)), None);
    let difference = spec.difference(&with(|c| c.width = 32));
    assert_eq!(difference, Some(("width".into(), "96".into(), "32".into())));
    let mut other = spec.clone();
    other.channels = 2;
    assert_eq!(
        spec.difference(&other).map(|d| d.0),
        Some("channels".into())
    );
}

#[test]
fn a_loss_is_a_list_of_terms() {
    let text = format!(
        "{MINIMAL}[[loss]]\nkind = \"measurement_consistency\"\n[[loss]]\nkind = \"equivariant_imaging\"\nweight = 100.0\ntransforms = {{ rotation = \"quarter\" }}\n"
    );
    let config = parse(&text, &[]).expect("valid");
    assert_eq!(config.loss.len(), 2);
    let again = parse(&config.to_toml().expect("TOML"), &[]).expect("valid");
    assert_eq!(again, config);
    assert_eq!(parse(MINIMAL, &[]).expect("valid").loss, [Term::default()]);
    let single = format!("{MINIMAL}[loss]\nkind = \"supervised\"\n");
    let error = parse(&single, &[]).expect_err("one bracket").to_string();
    assert!(
        error.contains("[[loss]]") && error.contains("line"),
        "{error}"
    );
}

#[test]
fn measurements_without_ground_truth_need_a_loss_without_it() {
    let measured = MINIMAL.replace("train = ", "train_measurements = ");
    assert_ne!(measured, MINIMAL);
    let error = parse(&measured, &[]).expect_err("supervised").to_string();
    assert!(error.contains("measurement_consistency"), "{error}");
    let unsupervised = format!("{measured}[[loss]]\nkind = \"measurement_consistency\"\n");
    let config = parse(&unsupervised, &[]).expect("valid");
    let path = config.data.train_measurements.expect("a path");
    assert!(path.is_absolute(), "{path:?}");
    let both = MINIMAL.replace("train = ", "train_measurements = \"y.npy\"\ntrain = ");
    let error = parse(&both, &[]).expect_err("both").to_string();
    assert!(error.contains("data.train_measurements"), "{error}");
    let neither = MINIMAL.replace("train = ", "validation = ");
    let error = parse(&neither, &[]).expect_err("neither").to_string();
    assert!(error.contains("data.train is missing"), "{error}");
}
