// What scrolls sideways on a small screen is reached by the keyboard (WCAG 2.1.1): the theme wraps tables late.
const reach = () => document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code").forEach((one) => { one.tabIndex = 0; });
new MutationObserver(reach).observe(document.documentElement, { childList: true, subtree: true });
reach();
