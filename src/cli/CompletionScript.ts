/** tmp */
export const script = (shell: string): string => shell
