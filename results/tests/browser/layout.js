// What is wrong with the layout: a list of words, empty if nothing is.
(() => {
  const faults = [];
  const wide = document.documentElement.clientWidth;
  const say = (what, element) => faults.push(`${what}: <${element.tagName} ${element.className.baseVal ?? element.className}> ${element.textContent.trim().slice(0, 60)}`);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)].filter((e) => e.checkVisibility());
  if (document.documentElement.scrollWidth > wide) faults.push(`the page is ${document.documentElement.scrollWidth} wide, the window ${wide}`);
  for (const element of all("body *")) {
    // What scrolls by itself may be wide inside; what is for screen readers alone is nowhere.
    if (element.closest(".hide, .skip, .tip, desc, title") || element.parentElement.closest(".scroll")) continue;
    const box = element.getBoundingClientRect();
    if (box.width && (box.left < -1 || box.right > wide + 1)) say("beside the window", element);
    const style = getComputedStyle(element);
    if (style.overflow === "hidden" && element.scrollWidth > element.clientWidth + 1) say("clipped", element);
  }
  const apart = (elements, what) => {
    const boxes = elements.map((e) => [e.getBoundingClientRect(), e]);
    for (let i = 0; i < boxes.length; i++) {
      for (let j = i + 1; j < boxes.length; j++) {
        const [a] = boxes[i];
        const [b] = boxes[j];
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        // Letters do not fill their boxes: a fifth of the height is air.
        if (x > 1 && y > Math.max(1, 0.2 * Math.min(a.height, b.height))) say(`${what} overlaps "${boxes[j][1].textContent.trim().slice(0, 40)}"`, boxes[i][1]);
      }
    }
  };
  for (const parent of all("main, .panels, .legend, nav ul")) apart([...parent.children].filter((e) => e.checkVisibility()), "block");
  for (const panel of all("svg.panel")) {
    const frame = panel.getBoundingClientRect();
    const texts = all("text", panel);
    for (const text of texts) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 2 || box.bottom > frame.bottom + 2) say("text outside its panel", text);
    }
    apart(texts, "text");
    if (texts.some((text) => parseFloat(getComputedStyle(text).fontSize) * (frame.width / panel.viewBox.baseVal.width) < 8.5)) say("text too small", panel);
  }
  return [...new Set(faults)].slice(0, 12);
})()
