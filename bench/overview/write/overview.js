// Arrow keys, page keys and space go from slide to slide.
const slides = [...document.querySelectorAll("section")];
const steps = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 };
document.addEventListener("keydown", (event) => {
  const step = steps[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("summary, pre")) return;
  event.preventDefault();
  const tops = slides.map((slide) => Math.abs(slide.getBoundingClientRect().top));
  const now = tops.indexOf(Math.min(...tops));
  const next = slides[Math.min(Math.max(now + step, 0), slides.length - 1)];
  next.scrollIntoView({ behavior: "instant" });
});
