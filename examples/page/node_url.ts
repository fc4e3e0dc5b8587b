/** The node of this page: its port and path stand in the page, its host is the page's own. */
export function nodeUrl(): string {
  const place = document.querySelector<HTMLMetaElement>("meta[name=memblast-node]")!.content;
  return `ws://${location.hostname}:${place}`;
}
