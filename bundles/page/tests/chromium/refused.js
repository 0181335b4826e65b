// Answers with what the page's policy refused, or with nothing where it let it pass.
const done = arguments[arguments.length - 1];
document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective), { once: true });
const outside = "http://192.0.2.1/outside";
ASK
