/** Figures by their names. */
export type Figures = Readonly<Record<string, number | undefined>>

/** A row of the bench. */
export interface Row {
  readonly name: string
  readonly what: string
  readonly warmUps?: number
  readonly rounds?: number
  readonly aims: ReadonlyArray<object>
  readonly prepare: (
    scope: (thing: { readonly stop: () => unknown }) => unknown,
    isShort: boolean
  ) => Promise<Readonly<Record<string, () => Promise<Figures>>>>
}

/** The middle of the rounds, and the ends. */
export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** What a row was measured to be. */
export interface Measured {
  readonly name: string
  readonly what: string
  readonly subjects: Readonly<Record<string, Readonly<Record<string, Spread>>>>
  readonly aims: ReadonlyArray<{
    readonly value: Spread
    readonly reached: boolean
    readonly halfway: boolean
    readonly isRatio: boolean
  }>
}

export const measure: (
  row: Row,
  options: { readonly rounds: number; readonly isShort: boolean }
) => Promise<Measured>

export const print: (measured: Measured) => string
