//! What a pass holds on the device: its buffers, by the sizes of the problem, and rows brought there.

use super::*;

impl<D: Driver> Pass<D> {
    /// Buffers for passes over up to `n` rows; `gradient`: whether gradients will be wanted.
    pub fn new(driver: Arc<D>, question: &Question<'_>, n: usize, gradient: bool) -> Result<Self> {
        let composition = question.composition;
        let (d, p, classes) =
            (question.centre.len(), question.prototype_labels.len(), question.classes);
        let own = composition.metric.own_tensor().and_then(|name| question.tensors.get(name));
        let (maps, l) = match (composition.metric, own) {
            (MetricName::Omega | MetricName::Bilinear, Some(t)) => (1, t.shape[1]),
            (MetricName::ClassOmega | MetricName::LocalOmega | MetricName::Tangent, Some(t)) => {
                (t.shape[0], t.shape[2])
            }
            _ => (0, d),
        };
        let metric = composition.metric;
        let (keeps_raw, keeps_more) = (keeps_raw(metric), keeps_more(metric));
        let one_class = composition.objective.is_one_class();
        let rule = composition.objective.is_rule();
        let room_rows = room_rows(composition, p, classes);
        // Without gradients the pass answers questions, about the nearest of each class among them.
        let room_rows = if gradient { room_rows } else { room_rows.max(2 * classes) };
        let ranked = rows::ranked(composition);
        let limits = driver.limits();
        let one_kernel = (gradient && driver.kernels() == Kernels::Tuned)
            .then(|| {
                let sizes = step::Sizes { p, d, l, maps, classes };
                OneKernel::plan(&limits, composition, question.precision, sizes)
            })
            .flatten();
        // It leaves a loss a row, and no keys.
        let alone = one_kernel.is_some();
        let outcomes = if alone { 1 } else { OUTCOMES.max(classes) };
        let room_rows = if alone { 1 } else { room_rows };
        let pairs = usize::from(!alone);
        let projected = maps > 0 && !one_kernel.as_ref().is_some_and(OneKernel::projects);
        let words_a_row = p
            * pairs
            * (1 + usize::from(gradient)
                + usize::from(gradient && (one_class || rule))
                + usize::from(keeps_raw)
                + usize::from(keeps_more))
            + one_kernel.as_ref().map_or(0, |k| k.list_words(1))
            + outcomes
            + room_rows
            + usize::from(projected) * maps * l * (1 + usize::from(gradient))
            // Streamed rows themselves, on both sides.
            + 3 * d;
        let widest = (p * pairs).max(maps * l).max(room_rows).max(outcomes).max(d);
        let by_buffer = limits.buffer_bytes / (4 * widest as u64);
        let by_groups = u64::from(limits.groups) * 64;
        // It goes through any number of rows in one launch, and wants little room for each.
        let (most_bytes, most_rows) = match one_kernel {
            Some(_) => (4 * CHUNK_BYTES, 1 << 24),
            None => (CHUNK_BYTES, 1 << 18),
        };
        let bytes = most_bytes.min((limits.memory_bytes / 8) as usize);
        let chunk = (bytes / (4 * words_a_row))
            .min(by_buffer.min(by_groups) as usize)
            .min(n.max(1))
            .clamp(1, most_rows)
            .next_multiple_of(64);
        let words = |there: bool, count: usize| driver.buffer(if there { count.max(1) } else { 1 });
        let pair = |there: bool| words(there && pairs > 0, p * chunk);
        let gradient_cells = {
            // Of a product of few results there are more slabs, of one of many fewer: at most so many.
            let most = |rows: usize, columns: usize| {
                let cells = rows * columns;
                let tiled = tiled_slabs(&limits, chunk, [rows, columns]).count;
                cells * slabs(chunk, cells).count.max(tiled)
            };
            let fused = FUSED_GROUPS.min(chunk.div_ceil(FUSED_ROWS));
            let fits = fits_fused(&driver.limits(), p * l, l);
            let fused = if fits { 2 * p * l * fused } else { 0 };
            let sums = one_kernel.as_ref().map_or(0, |k| k.sums_words(&limits, chunk, [p, l]));
            (2 * most(p, l.max(d))).max(2 * most(p, l)).max(most(d, maps * l)).max(fused).max(sums)
        };
        let centre_parts: Vec<f32> = {
            let high = question.centre.iter().map(|c| *c as f32);
            let low = question.centre.iter().map(|c| (c - f64::from(*c as f32)) as f32);
            high.chain(low).collect()
        };
        let offset = |j: usize| match composition.metric {
            MetricName::ClassOmega => question.prototype_labels[j] as usize * l,
            MetricName::LocalOmega | MetricName::Tangent => j * l,
            _ => 0,
        };
        let offsets: Vec<u32> = (0..p).map(|j| offset(j) as u32).collect();
        let mut labels = question.prototype_labels.to_vec();
        labels.resize(p + classes, 0);
        for label in question.prototype_labels {
            labels[p + *label as usize] += 1;
        }
        let mut affine = vec![0.0f32; p];
        affine.resize(2 * p, 1.0);
        let reasoning = composition.cooperation == Cooperation::Reasoning;
        let tangent = composition.metric == MetricName::Tangent;
        Ok(Pass {
            question: Owned {
                composition: composition.clone(),
                classes,
                target: question.target,
                prototype_labels: question.prototype_labels.to_vec(),
                centre: question.centre.to_vec(),
                precision: question.precision,
            },
            d,
            p,
            maps,
            l,
            chunk,
            labels: driver.with_words(&labels)?,
            offsets: driver.with_words(&offsets)?,
            zeros: words(true, p)?,
            centre: driver.with_numbers(&centre_parts)?,
            w: words(true, p * d)?,
            v: words(maps > 0, p * l)?,
            lam: words(composition.metric == MetricName::Relevance, d)?,
            affine: driver.with_numbers(&affine)?,
            neighbourhood: words(
                true,
                (4 * p + 2).max(if reasoning { (p + 2) * classes } else { 1 }),
            )?,
            keys: pair(true)?,
            slopes: pair(gradient)?,
            theta_slopes: pair(gradient && (one_class || rule))?,
            outcome: words(true, outcomes * chunk)?,
            room: words(true, room_rows * chunk)?,
            ranks: pair(ranked)?,
            raw: pair(keeps_raw)?,
            more: pair(keeps_more)?,
            y: words(projected, maps * l * chunk)?,
            h: words(projected && gradient, maps * l * chunk)?,
            slabs: words(gradient, gradient_cells)?,
            pulls: words(gradient, 2 * p * l.max(d))?,
            shares: words(gradient && tangent, p * l)?,
            outer: words(gradient && maps > 0, d * maps * l)?,
            columns: words(gradient, 2 * p)?,
            extra: words(gradient, p)?,
            reasoning: words(gradient && reasoning, (p + 2) * classes)?,
            tangent_room: words(gradient && tangent, p * 2 * (l * l + l))?,
            partials: words(
                true,
                PARTS * OUTCOMES.max(if reasoning { p * classes } else { p }).max(2 * classes),
            )?,
            prepared: words(true, one_kernel.as_ref().map_or(1, OneKernel::prepared_words))?,
            list: words(true, one_kernel.as_ref().map_or(1, |k| k.list_words(chunk)))?,
            one_kernel,
            totals: driver.shared(TOTALS)?,
            dynamic: {
                let numbers = driver.shared(dynamic::COUNT)?;
                driver.write_numbers(&numbers, 0, &[1.0; dynamic::COUNT])?;
                numbers
            },
            driver,
        })
    }

    /// The rows `start .. end` on the device: centred, and rounded as operands are.
    pub fn upload_rows(&self, features: &Features, start: usize, end: usize) -> Result<D::Buffer> {
        let buffer = self.driver.buffer(((end - start) * self.d).max(1))?;
        self.write_rows(features, start..end, &buffer)?;
        Ok(buffer)
    }

    /// Writes rows, centred and rounded as operands are, one after another from the first word of a buffer on.
    pub fn write_rows(
        &self,
        features: &Features,
        rows: impl Iterator<Item = usize>,
        to: &D::Buffer,
    ) -> Result<()> {
        let centre = &self.question.centre;
        let single: Vec<f32> = centre.iter().map(|c| *c as f32).collect();
        let operand = self.question.precision.operand();
        self.write_with(rows, to, &|i, out| {
            features.centred_rows_into(i, (centre, &single), out);
            operand.round(out);
        })
    }

    /// The rows `start .. end` as they are.
    pub fn upload_raw(&self, features: &Features, start: usize, end: usize) -> Result<D::Buffer> {
        let buffer = self.driver.buffer(((end - start) * self.d).max(1))?;
        self.write_with(start..end, &buffer, &|i, out| features.row_into(i, out))?;
        Ok(buffer)
    }

    fn write_with(
        &self,
        mut rows: impl Iterator<Item = usize>,
        to: &D::Buffer,
        row: &dyn Fn(usize, &mut [f32]),
    ) -> Result<()> {
        let d = self.d;
        // Some megabytes at a time.
        let most = (1 << 20) / d.max(1) + 1;
        let mut at = 0;
        let mut values = Vec::with_capacity(most * d);
        loop {
            values.clear();
            for i in rows.by_ref().take(most) {
                let end = values.len();
                values.resize(end + d, 0.0f32);
                row(i, &mut values[end..]);
            }
            if values.is_empty() {
                return Ok(());
            }
            self.driver.write_numbers(to, at, &values)?;
            at += values.len();
        }
    }
}
