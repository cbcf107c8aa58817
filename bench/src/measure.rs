//! One figure of several contenders.

/// Which way a figure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Time, bytes.
    Lower,
    /// Throughput.
    Higher,
}

/// What the first contender should reach.
#[derive(Clone, Debug)]
pub enum Target {
    /// The figure itself, in the measure's unit.
    Figure(f64),
    /// At most (or, where higher is better, at least) this many times the named contender's figure.
    Ratio(String, f64),
}

impl Target {
    /// [`Target::Figure`].
    pub fn figure(figure: f64) -> Self {
        Target::Figure(figure)
    }

    /// [`Target::Ratio`].
    pub fn ratio_to(contender: &str, ratio: f64) -> Self {
        Target::Ratio(contender.to_owned(), ratio)
    }
}

pub(crate) struct Contender<'a> {
    pub(crate) name: String,
    /// A figure, or why there is none.
    pub(crate) sample: Box<dyn FnMut() -> Result<f64, String> + 'a>,
    /// A figure that does not vary is sampled once.
    pub(crate) constant: bool,
}

/// One figure of several contenders, the first of them ours. See the [crate's example](crate).
pub struct Measure<'a> {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    pub(crate) targets: Vec<Target>,
    pub(crate) contenders: Vec<Contender<'a>>,
}

impl<'a> Measure<'a> {
    /// A measure without contenders; lower is better.
    pub fn new(name: &str, unit: &str) -> Self {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        Measure { name, unit, better: Better::Lower, targets: Vec::new(), contenders: Vec::new() }
    }

    /// Higher is better.
    #[must_use]
    pub fn higher_is_better(mut self) -> Self {
        self.better = Better::Higher;
        self
    }

    /// Adds a target of the first contender.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Adds a contender; `sample` gives one figure in the measure's unit for each round.
    pub fn contender(&mut self, name: &str, mut sample: impl FnMut() -> f64 + 'a) {
        self.peer(name, move || Ok(sample()));
    }

    /// Adds a contender that may fail, which `sample` then says why: its row is left out, a note says so, and the
    /// others go on. The first contender may not: its failure ends the run.
    pub fn peer(&mut self, name: &str, sample: impl FnMut() -> Result<f64, String> + 'a) {
        self.contenders.push(Contender { name: name.to_owned(), sample: Box::new(sample), constant: false });
    }

    /// Adds a figure that does not vary between rounds: bytes, a balance.
    pub fn constant(&mut self, name: &str, figure: f64) {
        self.contenders.push(Contender {
            name: name.to_owned(),
            sample: Box::new(move || Ok(figure)),
            constant: true,
        });
    }
}
