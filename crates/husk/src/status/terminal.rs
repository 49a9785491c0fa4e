//! The picture full screen: drawn from plain data, kept up to date, scrolled with the keyboard.

use super::picture::{Picture, Standing, at_stage};
use super::problems::{Problem, Severity};
use super::{Source, text};
use crate::error::{Failure, Result};
use crate::subject::Names;
use crate::summary::NodeSummary;
use contract::{Stage, State};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// From this width on, nodes and the rest stand side by side.
const WIDE: u16 = 130;

/// What is on the screen.
struct View {
    picture: Picture,
    /// The nodes in the order in which they are shown: what is wrong first.
    order: Vec<usize>,
    /// Why the last look failed, if it did.
    trouble: Option<String>,
    first: usize,
    only_wrong: bool,
    colour: bool,
    looked: Instant,
}

impl View {
    fn new(picture: Picture, colour: bool) -> View {
        let mut view = View {
            picture,
            order: Vec::new(),
            trouble: None,
            first: 0,
            only_wrong: false,
            colour,
            looked: Instant::now(),
        };
        view.sort();
        view
    }

    fn take(&mut self, look: Result<Picture>) {
        self.looked = Instant::now();
        match look {
            Ok(picture) => {
                self.picture = picture;
                self.trouble = None;
                self.sort();
            }
            Err(failure) => self.trouble = Some(failure.to_string().lines().next().unwrap_or_default().to_owned()),
        }
    }

    fn sort(&mut self) {
        let nodes = &self.picture.nodes;
        let shown = |index: &usize| {
            let standing = Standing::of(&nodes[*index]);
            !self.only_wrong || !matches!(standing, Standing::Converged | Standing::Skipped)
        };
        self.order = (0..nodes.len()).filter(shown).collect();
        self.order.sort_by_key(|index| Standing::of(&nodes[*index]));
    }

    /// Takes in a key; false ends the view.
    fn press(&mut self, key: KeyEvent, page: usize) -> bool {
        let last = self.order.len().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Down | KeyCode::Char('j') => self.first = (self.first + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.first = self.first.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.first = (self.first + page).min(last),
            KeyCode::PageUp => self.first = self.first.saturating_sub(page),
            KeyCode::Home | KeyCode::Char('g') => self.first = 0,
            KeyCode::End | KeyCode::Char('G') => self.first = last,
            KeyCode::Char('p') => {
                self.only_wrong = !self.only_wrong;
                self.first = 0;
                self.sort();
            }
            _ => {}
        }
        true
    }

    fn style(&self, colour: Color) -> Style {
        if self.colour { Style::default().fg(colour) } else { Style::default() }
    }

    fn of_standing(&self, standing: Standing) -> Style {
        match standing {
            Standing::Failed => self.style(Color::Red),
            Standing::Drifted => self.style(Color::Yellow),
            Standing::UnderWay => self.style(Color::Cyan),
            Standing::Converged => self.style(Color::Green),
            Standing::Waiting | Standing::Skipped => Style::default().add_modifier(Modifier::DIM),
        }
    }
}

/// Shows the view until somebody leaves it.
pub(super) async fn show(source: &Source, names: &Names, every: Duration) -> Result<()> {
    if !std::io::stdout().is_terminal() {
        return Err(Failure::plain("--watch needs a terminal; `husk status` prints the same once"));
    }
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut view = View::new(source.look(names).await?, colour);
    let mut keys = keys();
    let mut terminal = ratatui::try_init().map_err(Failure::plain)?;
    let mut looks = tokio::time::interval(every);
    looks.reset();
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let ended = loop {
        if let Err(error) = terminal.draw(|frame| draw(frame, &view)) {
            break Err(Failure::plain(error));
        }
        let page = usize::from(terminal.size().map_or(24, |size| size.height)).saturating_sub(12).max(1);
        tokio::select! {
            key = keys.recv() => match key {
                None => break Ok(()),
                Some(Some(key)) if !view.press(key, page) => break Ok(()),
                Some(_) => {} // the size changed, or a key that moved something: drawn anew above
            },
            _ = looks.tick() => view.take(source.look(names).await),
        }
    };
    ratatui::restore();
    ended
}

/// Reads the keyboard in a thread of its own; `None` says that the terminal has another size.
fn keys() -> mpsc::Receiver<Option<KeyEvent>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        loop {
            // A short poll, so that the thread ends soon after the view.
            let sent = match event::poll(Duration::from_millis(200)) {
                Ok(false) => {
                    if sender.is_closed() {
                        return;
                    }
                    continue;
                }
                Ok(true) => match event::read() {
                    Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => sender.blocking_send(Some(key)),
                    Ok(Event::Resize(..)) => sender.blocking_send(None),
                    Ok(_) => continue,
                    Err(_) => return,
                },
                Err(_) => return,
            };
            if sent.is_err() {
                return;
            }
        }
    });
    receiver
}

fn draw(frame: &mut Frame<'_>, view: &View) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(3), Constraint::Length(1)]).areas(frame.area());
    draw_head(frame, head, view);
    let problems = problem_height(view, body);
    if body.width >= WIDE {
        let [left, right] =
            Layout::horizontal([Constraint::Min(76), Constraint::Length(body.width / 2 - 8)]).areas(body);
        draw_nodes(frame, left, view);
        let classes = to_u16(view.picture.classes.len() + 2).min(right.height / 3);
        let [top, middle, bottom] =
            Layout::vertical([Constraint::Length(classes), Constraint::Length(6), Constraint::Min(3)]).areas(right);
        draw_classes(frame, top, view);
        draw_drift(frame, middle, view);
        draw_problems(frame, bottom, view);
    } else {
        let [top, middle, bottom] =
            Layout::vertical([Constraint::Min(4), Constraint::Length(4), Constraint::Length(problems)]).areas(body);
        draw_nodes(frame, top, view);
        draw_summary(frame, middle, view);
        draw_problems(frame, bottom, view);
    }
    let age = view.looked.elapsed().as_secs();
    let foot_line = match &view.trouble {
        Some(why) => Line::styled(format!("cannot be asked since {age} s: {why}"), view.style(Color::Red)),
        None => Line::styled(
            format!(
                "q end  ↑↓ PgUp PgDn Home End move  p {}",
                if view.only_wrong { "all nodes" } else { "problems only" }
            ),
            Style::default().add_modifier(Modifier::DIM),
        ),
    };
    frame.render_widget(Paragraph::new(foot_line), foot);
}

fn to_u16(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// Problems get what they need, up to half of the screen; without any, one line.
fn problem_height(view: &View, body: Rect) -> u16 {
    let lines: usize = view.picture.problems.iter().map(|problem| text::problem_lines(problem).len() + 1).sum();
    to_u16(lines + 2).clamp(3, (body.height / 2).max(3))
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let text = text::head(&view.picture);
    let width = usize::from(area.width);
    let mut lines: Vec<Line<'_>> = text.lines().map(|line| Line::from(whole_parts(line, width).to_owned())).collect();
    if let Some(first) = lines.first_mut() {
        *first = first.clone().style(Style::default().add_modifier(Modifier::BOLD));
    }
    lines.push(Line::from(text::counts(&view.picture)));
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let block = Block::bordered().title(format!(
        " nodes {}-{} of {} ",
        (view.first + 1).min(view.order.len()),
        (view.first + usize::from(area.height.saturating_sub(3))).min(view.order.len()),
        view.order.len()
    ));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = usize::from(inner.height).saturating_sub(1);
    // Only what is seen is measured and drawn, however many nodes there are.
    let shown: Vec<&NodeSummary> =
        view.order.iter().skip(view.first).take(rows).map(|index| &view.picture.nodes[*index]).collect();
    let width = shown.iter().map(|node| node.name.chars().count()).max().unwrap_or(4).clamp(8, 28);
    let runtime = shown.iter().map(|node| node.runtime.chars().count()).max().unwrap_or(7).clamp(8, 24);
    let head = format!("{:<width$} {:<runtime$} check art cri label  state", "node", "runtime");
    let mut lines = vec![Line::styled(head, Style::default().add_modifier(Modifier::DIM))];
    for node in shown {
        let standing = Standing::of(node);
        let style = view.of_standing(standing);
        let mut spans = vec![Span::raw(format!(
            "{:<width$} {:<runtime$} ",
            fit(&node.name, width),
            fit(&node.runtime.replace("://", " "), runtime)
        ))];
        for (stage, columns) in Stage::INSTALL.into_iter().zip([6, 4, 4, 7]) {
            let state = at_stage(node, stage);
            let style = match state {
                Some(State::Done) => view.style(Color::Green),
                Some(State::Failed) => view.style(Color::Red),
                Some(State::Running) => view.style(Color::Cyan),
                Some(State::Pending) | None => Style::default().add_modifier(Modifier::DIM),
            };
            spans.push(Span::styled(format!("{:<columns$}", format!("  {}", text::mark(state))), style));
        }
        spans.push(Span::styled(text::standing(node), style));
        if let Some(why) = &node.skipped {
            spans.push(Span::styled(format!(" {why}"), Style::default().add_modifier(Modifier::DIM)));
        }
        lines.push(Line::from(spans));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

/// Leaves out the last of the parts between commas where there is no room for them.
fn whole_parts(text: &str, width: usize) -> &str {
    let mut kept = text;
    while kept.chars().count() > width {
        match kept.rsplit_once(", ") {
            Some((before, _)) => kept = before,
            None => break,
        }
    }
    kept
}

/// Cuts a text to a number of columns.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn draw_classes(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let block = Block::bordered().title(" classes and the nodes that serve them ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let selected = view.picture.counts.selected;
    let width = view.picture.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).clamp(8, 40);
    let lines = view.picture.classes.iter().map(|class| {
        let style = if class.nodes == 0 { view.style(Color::Red) } else { view.style(Color::Green) };
        Line::from(vec![
            Span::raw(format!("{:<width$}  ", fit(&class.name, width))),
            Span::styled(bar(class.nodes, selected, 20), style),
            Span::raw(format!("  {} of {selected}", class.nodes)),
        ])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inner);
}

/// A bar of so many columns.
fn bar(part: usize, whole: usize, columns: usize) -> String {
    let filled = (part * columns).checked_div(whole).unwrap_or(0).min(columns);
    format!("{}{}", "█".repeat(filled), "░".repeat(columns - filled))
}

fn draw_drift(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let block = Block::bordered().title(" snapshotters, drift, runtimes ");
    let runtimes: Vec<String> =
        view.picture.versions.runtimes.iter().map(|(name, count)| format!("{name} on {count}")).collect();
    let snapshotters = text::snapshotters(&view.picture);
    let lines = vec![
        Line::from(format!(
            "snapshotters  {}",
            if snapshotters.is_empty() { "the runtime's own" } else { &snapshotters }
        )),
        Line::from(format!("drift         {}", text::drift(&view.picture))),
        Line::from(format!("runtimes      {}", runtimes.join("; "))),
    ];
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

/// Classes and drift on a small screen: a line each.
fn draw_summary(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let selected = view.picture.counts.selected;
    let served = view.picture.classes.iter().filter(|class| class.nodes > 0).count();
    let everywhere = view.picture.classes.iter().filter(|class| class.nodes == selected && selected > 0).count();
    let block = Block::bordered().title(" classes, drift ");
    let lines = vec![
        Line::from(format!(
            "{served} of {} classes served, {everywhere} by every selected node",
            view.picture.classes.len()
        )),
        Line::from(format!("drift: {}", text::drift(&view.picture))),
    ];
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_problems(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let problems: &[Problem] = &view.picture.problems;
    let block = Block::bordered().title(format!(" problems: {} ", problems.len()));
    let mut lines: Vec<Line<'_>> = Vec::new();
    for problem in problems {
        let colour = if problem.severity == Severity::Error { Color::Red } else { Color::Yellow };
        let mut texts = text::problem_lines(problem).into_iter();
        lines.extend(texts.next().map(|title| Line::styled(title, view.style(colour))));
        lines.extend(texts.flat_map(|text| text.lines().map(|line| Line::from(line.to_owned())).collect::<Vec<_>>()));
        if lines.len() > usize::from(area.height) {
            break; // the rest would not be seen
        }
    }
    if lines.is_empty() {
        lines.push(Line::styled("none", view.style(Color::Green)));
    }
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::{node, seen};
    use super::*;
    use contract::Code;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        terminal.backend().to_string()
    }

    fn view(count: usize) -> View {
        let mut nodes: Vec<_> = (0..count).map(|n| node(&format!("node-{n:04}"), Stage::Label, State::Done)).collect();
        nodes[1] = node("bad", Stage::Cri, State::Failed);
        nodes[1].code = Some(Code::RUNTIME_REFUSED);
        nodes[1].message = "containerd did not come back".into();
        View::new(Picture::of(seen(nodes)), false)
    }

    #[test]
    fn problems_come_first_at_every_size() {
        for (count, width, height) in [(3, 80, 24), (3, 200, 60), (5000, 80, 24), (5000, 200, 60), (3, 20, 6)] {
            let text = screen(&view(count), width, height);
            if width < 80 {
                continue; // it must not panic; there is no room to read anything
            }
            for part in ["bad", "✗", "HUSK-2202", "containerd did not come back", "next", "q end"] {
                assert!(text.contains(part), "{part} is missing at {width}×{height}:\n{text}");
            }
            assert!(text.contains(&format!("of {count} ")), "{text}");
        }
    }

    #[test]
    fn keys_move_filter_and_end() {
        let mut view = view(100);
        let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
        assert!(view.press(key(KeyCode::PageDown), 20) && view.first == 20);
        assert!(view.press(key(KeyCode::End), 20) && view.first == 99);
        assert!(view.press(key(KeyCode::Char('p')), 20) && view.order == [1] && view.first == 0);
        assert!(!view.press(key(KeyCode::Char('q')), 20));
        assert!(!view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), 20));
    }

    #[test]
    fn a_look_that_failed_keeps_the_last_picture_and_says_so() {
        let mut view = view(3);
        view.take(Err(Failure::new(Code::CLUSTER_UNREACHABLE, "connection refused")));
        let text = screen(&view, 80, 24);
        assert!(text.contains("HUSK-4001: connection refused") && text.contains("bad"), "{text}");
    }

    #[test]
    fn a_head_that_does_not_fit_loses_whole_parts() {
        assert_eq!(whole_parts("chart 1, payload 2, husk 3", 26), "chart 1, payload 2, husk 3");
        assert_eq!(whole_parts("chart 1, payload 2, husk 3", 25), "chart 1, payload 2");
        assert_eq!(whole_parts("chart 1", 3), "chart 1");
    }

    #[test]
    fn bars_fill_in_proportion() {
        assert_eq!(bar(1, 2, 4), "██░░");
        assert_eq!(bar(0, 0, 2), "░░");
    }
}
