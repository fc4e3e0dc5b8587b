/** A CSV file imported `with { type: "text" }`: its text, also inside a compiled executable. */
declare module "*.csv" {
  const text: string;
  export default text;
}
