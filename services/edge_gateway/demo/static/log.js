// The panel of what was heard, in order. Browser tests read it: `[data-log] li`, with data-event and data-detail.

const list = document.getElementById('log');

export function log(event, detail = '') {
  const line = document.createElement('li');
  line.dataset.event = event;
  line.dataset.detail = detail;
  const time = document.createElement('time');
  const now = new Date();
  time.dateTime = now.toISOString();
  time.textContent = now.toISOString().slice(11, 23);
  // Ids come from other people: text, never markup.
  line.append(time, span(event), span(detail));
  list.append(line);
  list.scrollTop = list.scrollHeight;
}

function span(text) {
  const element = document.createElement('span');
  element.textContent = text;
  return element;
}
