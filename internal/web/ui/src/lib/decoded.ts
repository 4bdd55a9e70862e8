// decoded undoes encodeURIComponent. What nobody has encoded is taken as it is: nothing is called so, and the page says that.
export function decoded(s: string) {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}
