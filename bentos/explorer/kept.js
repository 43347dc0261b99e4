// The answers that this browser saw, so that those of two releases can be set side by side: a service holds one release.

const NAME = "answers", MOST = 60;

export function keptAnswers() {
  try {
    return JSON.parse(localStorage.getItem(NAME) ?? "[]");
  } catch {
    return [];
  }
}

/** Keep the newest answer of each release to each shopper. */
export function keepAnswer(user, answer) {
  const items = answer.items.map(({item_id, title, probability}) => ({item_id, title, probability}));
  const others = keptAnswers().filter(each => each.release !== answer.release || each.user !== user);
  localStorage.setItem(NAME, JSON.stringify([{release: answer.release, user, when: Date.now(), items}, ...others].slice(0, MOST)));
}

/** An answer that was saved to a file, from this service's page or another's. */
export async function fromFile(file) {
  const read = JSON.parse(await file.text());
  if (!Array.isArray(read.items) || typeof read.release !== "string") throw new Error(`${file.name} is not an answer: it needs \`release\` and \`items\`.`);
  return {user: "", when: Date.now(), ...read};
}
