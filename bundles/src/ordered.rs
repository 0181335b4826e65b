//! Work spread over threads, with the results in the order of the work.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Where work goes in.
pub(crate) struct Intake<In, Out> {
    jobs: Sender<(In, Sender<Out>)>,
    order: Sender<Receiver<Out>>,
}

/// The receiver of the results was dropped.
#[derive(Debug)]
pub(crate) struct Unwanted;

impl<In, Out> Intake<In, Out> {
    /// Adds one piece of work. Waits while as many pieces are in progress as there are threads (and two more).
    pub(crate) fn push(&self, job: In) -> Result<(), Unwanted> {
        let (result, slot) = bounded(1);
        self.order.send(slot).map_err(|_| Unwanted)?;
        self.jobs.send((job, result)).map_err(|_| Unwanted)
    }
}

/// The results, in order; ends after the intake was dropped and all work is done.
pub(crate) struct Results<Out>(Receiver<Receiver<Out>>);

impl<Out> Iterator for Results<Out> {
    type Item = Out;

    /// `None` also if a worker died; callers notice the missing work at the end.
    fn next(&mut self) -> Option<Out> {
        self.0.recv().ok()?.recv().ok()
    }
}

/// Starts `threads` workers. Each makes its own tool (such as a compressor) with `tool` and uses it for all of its work.
pub(crate) fn workers<In, Out, Tool, Make, Work>(
    threads: usize,
    tool: Make,
    work: Work,
) -> (Intake<In, Out>, Results<Out>)
where
    In: Send + 'static,
    Out: Send + 'static,
    Make: Fn() -> Tool + Clone + Send + 'static,
    Work: Fn(&mut Tool, In) -> Out + Clone + Send + 'static,
{
    let (jobs, queue) = bounded::<(In, Sender<Out>)>(1);
    let (order, results) = bounded(threads + 1);
    for _ in 0..threads {
        let (queue, tool, work) = (queue.clone(), tool.clone(), work.clone());
        thread::spawn(move || {
            let mut tool = tool();
            while let Ok((job, result)) = queue.recv() {
                // A send fails if the results were dropped early, for example after an error; the work is then not needed.
                let _ = result.send(work(&mut tool, job));
            }
        });
    }
    (Intake { jobs, order }, Results(results))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        let (intake, results) = workers(
            4,
            || (),
            |(), number: u64| {
                thread::sleep(std::time::Duration::from_micros((number * 7919) % 500));
                number * 2
            },
        );
        let feeder = thread::spawn(move || (0..200).for_each(|number| intake.push(number).unwrap()));
        assert_eq!(results.collect::<Vec<_>>(), (0..200).map(|number| number * 2).collect::<Vec<_>>());
        feeder.join().unwrap();
    }

    #[test]
    fn dropping_the_results_ends_the_intake() {
        let (intake, results) = workers(2, || (), |(), number: u64| number);
        drop(results);
        assert!((0..100).any(|number| intake.push(number).is_err()));
    }
}
