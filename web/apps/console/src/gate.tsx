/** What somebody sees who is not signed in. */
export function Gate({ why }: { readonly why?: string }) {
  return (
    <main className="gate">
      <h1>Sign in</h1>
      {why && <p role="alert">{why}</p>}
      <p>
        Run <code>roomkeeper login</code> where the control plane's keys are, and open the link that it prints. It is
        good for a few minutes.
      </p>
    </main>
  );
}
