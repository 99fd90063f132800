/** A module's text, changed. @throws Error where it is written in another way than is known here. */
export declare const lighterSchemas: (text: string) => string
export declare const lighterAnnotations: (text: string) => string
