// What one of the page's own routes answered; throws the sentence that says why it wouldn't.
window.headroomAnswer = async (answer) => {
  if (answer.status === 401) throw new Error(headroomText("script.login_ended"));
  const told = await answer.json().catch(() => ({}));
  const why = [told.refused, told.detail, told.error].find((one) => typeof one === "string");
  if (why || !answer.ok) throw Object.assign(new Error(why || headroomText("script.no_answer")), { told });
  return told;
};
