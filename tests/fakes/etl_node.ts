// An ETL script in TypeScript that says so and ends.

const answer: number = 42;
console.error(`the answer is ${answer}`);
