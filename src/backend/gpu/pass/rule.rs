//! The update rules, as launches.

use super::{Batch, DIFFERENCES, Held, Learn, Part, Pass, Rows, find};
use crate::backend::gpu::{Driver, Launch};
use crate::parts::composition::MetricName;

impl<D: Driver> Pass<D> {
    /// For an update rule: slopes of one chunk, their sums of differences (`pulls`), of the slopes themselves (`columns`) and of the
    /// counts (`columns` from p on), and the loss.
    pub fn rule_chunk(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        Part { base, x_base, n }: Part,
    ) -> Vec<Launch<D::Buffer>> {
        let add = base > 0;
        let mut all = self.prepare(tensors);
        all.extend(self.forward(tensors, batch.x, x_base, n));
        all.extend(self.rows(tensors, batch, (base, n), Rows::Gradient, &Learn::default()));
        let loss = (&self.outcome, &self.outcome, &self.totals);
        all.extend(self.sums("sum.columns", loss, (n, 1, 0), add, [0; 3]));
        let slopes = (&self.slopes, &self.slopes, &self.columns);
        all.extend(self.sums("sum.columns", slopes, (n, self.p, 0), add, [0; 3]));
        let counts = (&self.theta_slopes, &self.theta_slopes, &self.columns);
        all.extend(self.sums("sum.columns", counts, (n, self.p, 0), add, [0, 0, self.p]));
        let compared = (batch.x, &self.w, &self.zeros);
        let shape = (n, x_base, self.d, self.d);
        all.extend(self.pull(DIFFERENCES, compared, shape, add, &self.pulls));
        all
    }

    /// Moves prototypes by `rate / N sum s (x - w)`.
    pub fn hebbian_move(&self, prototypes: &D::Buffer, counts: &D::Buffer) -> Launch<D::Buffer> {
        let words = [self.p as u32, self.d as u32];
        let buffers = [&self.pulls, counts, &self.dynamic, prototypes];
        self.each("hebbian.move", &buffers, &words, self.p * self.d)
    }

    /// The prototypes as the metric sees them become the weighted means of their rows.
    pub fn medoid_means(&self) -> Launch<D::Buffer> {
        let words = [self.p as u32, self.d as u32];
        self.each("medoid.mean", &[&self.pulls, &self.columns, &self.w], &words, self.p * self.d)
    }

    /// Keys of one chunk to what the prototypes have become, and of each prototype the row nearest to it so far.
    pub fn medoid_choose(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        (base, n): (usize, usize),
        (least, chosen): (&D::Buffer, &D::Buffer),
    ) -> Vec<Launch<D::Buffer>> {
        let mut all = self.forward(tensors, batch.x, base, n);
        let buffers =
            [&self.keys, batch.codes, batch.factors, &self.labels, &self.columns, least, chosen];
        let words = [n, self.p, self.chunk, base, usize::from(base == 0)].map(|v| v as u32);
        all.push(self.launch("medoid.choose", &buffers, &words, [self.p, 1]));
        all
    }

    /// Scores of p candidates (rows of the data, by number) with the matrices of prototype `of`, over one chunk whose slopes are there:
    /// `scores[j p + b]` from word `at` on, for each prototype's weights and each candidate.
    pub fn medoid_scores(
        &self,
        tensors: &[Held<D::Buffer>],
        x: &D::Buffer,
        (base, n): (usize, usize),
        (candidates, offsets): (&D::Buffer, &D::Buffer),
        (scores, at): (&D::Buffer, usize),
    ) -> Vec<Launch<D::Buffer>> {
        let mut all = vec![self.take(x, candidates, &self.w, self.p)];
        if let (true, Some(own)) = (self.maps > 0, self.question.composition.metric.own_tensor()) {
            let buffers = [&self.w, &find(tensors, own).buffer, &self.v, offsets];
            let words = self.map_words(0, 0, 0);
            let mut own = self.each("omega.own", &buffers, &words, self.p * self.l);
            if self.question.composition.metric == MetricName::Tangent {
                own.constants.clear();
            }
            all.push(own);
        }
        let mut forward = self.forward(tensors, x, base, n);
        if let (Some(last), true) = (forward.last_mut(), self.maps > 0) {
            let place = match self.question.composition.metric {
                MetricName::Tangent => 8,
                _ => 3,
            };
            last.buffers[place] = offsets.clone();
        }
        all.extend(forward);
        let buffers = (&self.slopes, &self.keys, scores);
        let shape = (n, self.p * self.p, self.p);
        all.extend(self.sums("sum.cross", buffers, shape, base > 0, [0, 0, at]));
        all
    }

    /// Where each prototype's words begin in a projected row, if all had the matrices of prototype `of`.
    pub fn offsets_of(&self, of: usize) -> Vec<u32> {
        let each = matches!(
            self.question.composition.metric,
            MetricName::LocalOmega | MetricName::Tangent
        );
        vec![if each { (of * self.l) as u32 } else { 0 }; self.p]
    }

    /// Whether prototypes have matrices of their own.
    pub fn has_own_maps(&self) -> bool {
        self.maps > 1
    }

    /// What the rows pull the prototypes with.
    pub fn pulls(&self) -> &D::Buffer {
        &self.pulls
    }

    /// Sums of slopes and of counts of each prototype.
    pub fn columns(&self) -> &D::Buffer {
        &self.columns
    }
}
