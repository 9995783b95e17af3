//! What is asked for: lengths, shared prefixes and repeats, drawn by a seed. The n-th request is the same whatever
//! the server does and however many are in flight.

use std::collections::VecDeque;

use fastrand::Rng;

use super::length::Lengths;

/// How far back a repeat reaches, in requests.
const REMEMBERED: usize = 256;

/// A mix of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// Tokens of a prompt, beside its prefix.
    pub input: Lengths,
    /// Tokens of a response.
    pub output: Lengths,
    /// Tokens of the prefix that prompts share, in front of the others; 0 for none.
    pub prefix_tokens: u32,
    /// How many different prefixes there are; a prompt has any of them.
    pub prefixes: u32,
    /// The share of requests that repeat the prompt of one before, 0 to 1.
    pub repeat: f64,
}

/// A prompt, by what it is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prompt {
    prefix_seed: u64,
    prefix_tokens: u32,
    own_seed: u64,
    own_tokens: u32,
}

impl Prompt {
    /// A prompt of so many tokens, unlike any of another seed.
    pub const fn new(tokens: u32, seed: u64) -> Self {
        Self { prefix_seed: 0, prefix_tokens: 0, own_seed: seed, own_tokens: tokens }
    }

    /// Its length.
    pub fn tokens(&self) -> u32 {
        self.prefix_tokens.saturating_add(self.own_tokens)
    }

    /// Its tokens, each a number below `of`.
    pub fn draw(&self, of: u32) -> impl Iterator<Item = u32> {
        let part = move |seed, tokens| {
            let mut rng = Rng::with_seed(seed);
            (0..tokens).map(move |_| rng.u32(0..of))
        };
        part(self.prefix_seed, self.prefix_tokens).chain(part(self.own_seed, self.own_tokens))
    }
}

/// A request to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its prompt.
    pub prompt: Prompt,
    /// Tokens it asks for.
    pub output_tokens: u32,
}

/// The requests of a mix, one after the other. Never ends.
#[derive(Clone, Debug)]
pub struct Specs {
    mix: Mix,
    seed: u64,
    rng: Rng,
    recent: VecDeque<Prompt>,
}

impl Specs {
    /// The requests that a seed gives.
    pub fn new(mix: Mix, seed: u64) -> Self {
        Self { mix, seed, rng: Rng::with_seed(seed), recent: VecDeque::with_capacity(REMEMBERED) }
    }

    /// The next one, its lengths drawn.
    pub fn draw(&mut self) -> Spec {
        let own_tokens = self.mix.input.draw(&mut self.rng);
        let output_tokens = self.mix.output.draw(&mut self.rng);
        self.of_lengths(own_tokens, output_tokens)
    }

    /// The next one, of given lengths. A repeat has that of the prompt it repeats.
    pub fn of_lengths(&mut self, own_tokens: u32, output_tokens: u32) -> Spec {
        let prefix = self.rng.u32(0..self.mix.prefixes.max(1));
        let own_seed = self.rng.u64(..);
        let (repeats, which) = (self.rng.f64() < self.mix.repeat, self.rng.f64());
        let earlier = self.recent.get((which * self.recent.len() as f64) as usize);
        let prompt = match earlier {
            Some(earlier) if repeats => *earlier,
            _ => Prompt {
                // Apart from the other draws: a prefix is the same whichever request has it first.
                prefix_seed: self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(prefix) + 1),
                prefix_tokens: self.mix.prefix_tokens,
                own_seed,
                own_tokens,
            },
        };
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(prompt);
        Spec { prompt, output_tokens }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn mix() -> Mix {
        Mix {
            input: Lengths::Uniform(10, 20),
            output: Lengths::Fixed(5),
            prefix_tokens: 0,
            prefixes: 1,
            repeat: 0.0,
        }
    }

    fn tokens(prompt: &Prompt) -> Vec<u32> {
        prompt.draw(10_000).collect()
    }

    #[test]
    fn a_seed_gives_the_same_requests_again() {
        let specs = |seed| {
            let mut specs = Specs::new(Mix { repeat: 0.3, prefix_tokens: 4, prefixes: 2, ..mix() }, seed);
            (0..1_000).map(|_| specs.draw()).collect::<Vec<_>>()
        };
        assert_eq!(specs(1), specs(1));
        assert_ne!(specs(1), specs(2));
    }

    #[test]
    fn prompts_differ_unless_told_to_repeat() {
        let mut specs = Specs::new(mix(), 1);
        let prompts: HashSet<Vec<u32>> = (0..1_000).map(|_| tokens(&specs.draw().prompt)).collect();
        assert_eq!(prompts.len(), 1_000);
        let mut specs = Specs::new(Mix { repeat: 0.25, ..mix() }, 1);
        let prompts: HashSet<Vec<u32>> = (0..4_000).map(|_| tokens(&specs.draw().prompt)).collect();
        assert!((2_900..3_100).contains(&prompts.len()), "{}", prompts.len());
        let mut specs = Specs::new(Mix { repeat: 1.0, ..mix() }, 1);
        let prompts: HashSet<Vec<u32>> = (0..1_000).map(|_| tokens(&specs.draw().prompt)).collect();
        assert_eq!(prompts.len(), 1, "all repeat the first");
    }

    #[test]
    fn a_prefix_is_in_front_of_the_drawn_length_and_shared() {
        let mut specs = Specs::new(Mix { prefix_tokens: 64, prefixes: 3, ..mix() }, 1);
        let specs: Vec<Spec> = (0..300).map(|_| specs.draw()).collect();
        assert!(specs.iter().all(|spec| (74..=84).contains(&spec.prompt.tokens())));
        assert!(specs.iter().all(|spec| tokens(&spec.prompt).len() == spec.prompt.tokens() as usize));
        let prefixes: HashSet<Vec<u32>> =
            specs.iter().map(|spec| spec.prompt.draw(10_000).take(64).collect()).collect();
        assert_eq!(prefixes.len(), 3);
    }
}
